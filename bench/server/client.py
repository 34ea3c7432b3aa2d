"""tritonclient in closed loops, one process a connection.

Each line on standard input is a slot in JSON; each line on standard output what it measured.
"""

import json
import multiprocessing
import sys
import time

import numpy
import tritonclient.grpc
import tritonclient.http

CLIENTS = {"http": tritonclient.http, "grpc": tritonclient.grpc}
DTYPES = {"BYTES": numpy.object_, "FP32": numpy.float32, "INT64": numpy.int64}
TOLERANCE_MINUTES = 0.02
WARM_UP = 5


def inputs(library, slot):
    rows = slot["rows"]
    for tensor in slot["flight"]:
        one = numpy.array(tensor["data"], dtype=DTYPES[tensor["datatype"]]).reshape(1, 1)
        made = library.InferInput(tensor["name"], [rows, 1], tensor["datatype"])
        made.set_data_from_numpy(numpy.repeat(one, rows, axis=0), **form(slot))
        yield made


def form(slot):
    """Over HTTP tensors are bytes, but for servers that read only JSON."""
    return {"binary_data": slot["binary"]} if slot["protocol"] == "http" else {}


def measure(client, library, slot):
    made = list(inputs(library, slot))
    outputs = [library.InferRequestedOutput("air_time", **form(slot))]

    def ask():
        return client.infer("air-time", made, outputs=outputs, headers=slot["headers"])

    for _ in range(WARM_UP):
        ask()
    taken = []
    end = time.perf_counter() + slot["seconds"]
    while time.perf_counter() < end:
        begun = time.perf_counter()
        answer = ask()
        minutes = answer.as_numpy("air_time")
        taken.append(time.perf_counter() - begun)
        wrong = numpy.abs(minutes - slot["minutes"]).max() > TOLERANCE_MINUTES
        if minutes.shape != (slot["rows"], 1) or wrong:
            raise AssertionError(f"expected {slot['minutes']} minutes, found {minutes}")
    return taken


def work(pipe):
    clients = {}
    while True:
        try:
            slot = pipe.recv()
        except EOFError:
            return
        library = CLIENTS[slot["protocol"]]
        server = slot["protocol"], slot["address"]
        try:
            if server not in clients:
                clients[server] = library.InferenceServerClient(slot["address"])
            pipe.send((measure(clients[server], library, slot), None))
        except Exception as error:  # pylint: disable=broad-except
            pipe.send(([], repr(error)))


def main():
    context = multiprocessing.get_context("spawn")
    pipes = []
    for line in sys.stdin:
        slot = json.loads(line)
        while len(pipes) < slot["connections"]:
            ours, theirs = context.Pipe()
            context.Process(target=work, args=(theirs,), daemon=True).start()
            pipes.append(ours)
        used = pipes[: slot["connections"]]
        for pipe in used:
            pipe.send(slot)
        answers = [pipe.recv() for pipe in used]
        error = next((error for _, error in answers if error), None)
        taken = numpy.array([each for taken, _ in answers for each in taken]) * 1e6
        measured = {"error": error, "answers": len(taken)}
        if error is None:
            measured["p50_us"], measured["p99_us"] = numpy.percentile(taken, [50, 99]).tolist()
        print(json.dumps(measured), flush=True)


if __name__ == "__main__":
    main()
