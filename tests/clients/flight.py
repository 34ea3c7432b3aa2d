"""What every client script is given, and what it says."""

import json
import sys

import numpy

DTYPES = {"BYTES": numpy.object_, "FP32": numpy.float32, "INT64": numpy.int64}
TOLERANCE_MINUTES = 0.02


class Setting:
    """The JSON file that the script's one argument names."""

    def __init__(self):
        with open(sys.argv[1], encoding="utf-8") as file:
            setting = json.load(file)
        self.address = setting["address"]
        self.token = setting["token"]
        self.stranger = setting["stranger"]
        self.limited = setting["limited"]
        self.minutes = setting["minutes"]
        self.flight = setting["flight"]["inputs"]

    def tensors(self, rows):
        """Name, datatype and elements of each input: the same flight `rows` times."""
        for tensor in self.flight:
            dtype = DTYPES[tensor["datatype"]]
            one = numpy.array(tensor["data"], dtype=dtype).reshape(1, 1)
            yield tensor["name"], tensor["datatype"], numpy.repeat(one, rows, axis=0)

    def check(self, answer, rows):
        """Fails where the answer is not the documented one, `rows` times."""
        expected = numpy.full((rows, 1), self.minutes, dtype=numpy.float32)
        assert answer.shape == expected.shape, answer.shape
        assert answer.dtype == expected.dtype, answer.dtype
        assert numpy.abs(answer - expected).max() <= TOLERANCE_MINUTES, answer


def bearer(token):
    return {"authorization": f"Bearer {token}"}


def refusal(kind, ask):
    """What `ask` raises, which has to be of `kind`."""
    try:
        ask()
    except kind as error:
        return error
    raise AssertionError(f"expected {kind.__name__}, found an answer")
