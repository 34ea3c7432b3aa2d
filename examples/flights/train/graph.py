"""The trained network as an ONNX graph: categories in as text, numbers in as the timetable prints them."""

import json

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from flights_data import CATEGORIES, NUMBERS
from network import DAYS_A_MONTH, DELAY_MINUTES, DERIVED, RADIANS_A_DAY, Model

OPSET, ML_OPSET, IR_VERSION = 17, 3, 8
DTYPES = {"float32": TensorProto.FLOAT, "int64": TensorProto.INT64}
OUTPUT = "air_time"


def to_onnx(model: Model, name: str, metadata: dict[str, str]) -> onnx.ModelProto:
    graph = _Graph()
    first = graph.first_layer(model)
    scaled = graph.hidden_layers(model, first)
    graph.minutes(model, scaled)
    proto = helper.make_model(
        helper.make_graph(graph.nodes, name, _inputs(), [_value(OUTPUT, TensorProto.FLOAT)], graph.weights),
        opset_imports=[helper.make_opsetid("", OPSET), helper.make_opsetid("ai.onnx.ml", ML_OPSET)],
        ir_version=IR_VERSION,
        producer_name="bulkhead-flights",
    )
    helper.set_model_props(proto, metadata | {"vocabulary": json.dumps(model.vocabulary)})
    onnx.checker.check_model(proto, full_check=True)
    return proto


def feed(rows) -> dict[str, np.ndarray]:
    """The rows as the model's inputs, each of shape [rows, 1]."""
    texts = {name: rows[name].to_numpy(object)[:, None] for name in CATEGORIES}
    numbers = {name: rows[name].to_numpy(dtype)[:, None] for name, dtype in NUMBERS.items()}
    return texts | numbers


def _inputs():
    texts = [_value(name, TensorProto.STRING) for name in CATEGORIES]
    return texts + [_value(name, DTYPES[dtype]) for name, dtype in NUMBERS.items()]


def _value(name: str, dtype: int):
    return helper.make_tensor_value_info(name, dtype, ["batch", 1])


class _Graph:
    def __init__(self):
        self.nodes, self.weights = [], []

    def op(self, kind: str, inputs: list[str], name: str, **attributes) -> str:
        self.nodes.append(helper.make_node(kind, inputs, [name], name=f"{name}.{kind}", **attributes))
        return name

    def weight(self, name: str, value, dtype=np.float32) -> str:
        self.weights.append(numpy_helper.from_array(np.asarray(value, dtype), name))
        return name

    def scalar(self, kind: str, value: str, name: str, constant: float) -> str:
        return self.op(kind, [value, self.weight(f"{name}.by", [[constant]])], name)

    def first_layer(self, model: Model) -> str:
        """One-hot columns times a matrix is one row of that matrix a category, so the rows are gathered."""
        rows, offset = model.mlp.coefs_[0], 0
        terms = []
        for category in CATEGORIES:
            known = model.vocabulary[category]
            block = rows[offset : offset + len(known)]
            offset += len(known)
            terms.append(self._category(category, known, block, model.shares[category]))
        terms.append(self._numbers(model, rows[offset:]))
        total = terms[0]
        for at, term in enumerate(terms[1:]):
            total = self.op("Add", [total, term], f"first.{at}")
        return total

    def _category(self, category: str, known: list[str], block: np.ndarray, shares: np.ndarray) -> str:
        unknown = shares @ block
        table = self.weight(f"{category}.rows", np.concatenate([block, unknown[None, :]]))
        code = self.op(
            "CategoryMapper", [category], f"{category}.code", domain="ai.onnx.ml",
            cats_strings=known, cats_int64s=list(range(len(known))), default_int64=len(known),
        )
        gathered = self.op("Gather", [table, code], f"{category}.gathered", axis=0)
        return self.op("Squeeze", [gathered, self.weight(f"{category}.axis", [1], np.int64)], f"{category}.term")

    def _numbers(self, model: Model, block: np.ndarray) -> str:
        columns = self.op("Concat", self._derived(), "numbers", axis=1)
        centred = self.op("Sub", [columns, self.weight("numbers.mean", model.mean[None, :])], "numbers.centred")
        inverse = self.weight("numbers.inverse_scale", 1.0 / model.scale[None, :])
        scaled = self.op("Mul", [centred, inverse], "numbers.scaled")
        product = self.op("MatMul", [scaled, self.weight("numbers.rows", block)], "numbers.product")
        return self.op("Add", [product, self.weight("first.bias", model.mlp.intercepts_[0][None, :])], "numbers.term")

    def _derived(self) -> list[str]:
        """The columns of `network.derived`, in its order."""
        number = {
            name: self.op("Cast", [name], f"{name}.f32", to=TensorProto.FLOAT) if dtype == "int64" else name
            for name, dtype in NUMBERS.items()
        }
        low, high = (self.weight(f"delay.{at}", value) for at, value in zip(("low", "high"), DELAY_MINUTES))
        # The half keeps 1500 * 0.01 from rounding down to 14 hours.
        halfway = self.scalar("Add", number["sched_dep_time"], "clock.halfway", 0.5)
        hours = self.op("Floor", [self.scalar("Mul", halfway, "clock.hundredth", 0.01)], "clock.hours")
        months = self.scalar("Sub", number["month"], "season.month", 1.0)
        days = self.op("Add", [self.scalar("Mul", months, "season.months", DAYS_A_MONTH), number["day"]], "season.days")
        columns = {
            "distance": number["distance"],
            "sched_minutes": number["sched_minutes"],
            "dep_delay": self.op("Clip", [number["dep_delay"], low, high], "delay"),
            "departure_clock": self.op(
                "Sub", [number["sched_dep_time"], self.scalar("Mul", hours, "clock.skip", 40.0)], "clock"
            ),
            "winter": self.op("Cos", [self.scalar("Mul", days, "season.angle", RADIANS_A_DAY)], "season"),
        }
        return [columns[name] for name in DERIVED]

    def hidden_layers(self, model: Model, first: str) -> str:
        value = first
        layers = list(zip(model.mlp.coefs_[1:], model.mlp.intercepts_[1:]))
        for at, (weights, bias) in enumerate(layers, start=1):
            active = self.op("Relu", [value], f"layer{at}.in")
            product = self.op("MatMul", [active, self.weight(f"layer{at}.weights", weights)], f"layer{at}.product")
            value = self.op("Add", [product, self.weight(f"layer{at}.bias", bias[None, :])], f"layer{at}")
        return value

    def minutes(self, model: Model, scaled: str) -> str:
        spread = self.scalar("Mul", scaled, "log.spread", model.log_scale)
        logarithm = self.scalar("Add", spread, "log", model.log_mean)
        low, high = (self.weight(f"log.{at}", value) for at, value in zip(("low", "high"), model.log_range))
        return self.op("Exp", [self.op("Clip", [logarithm, low, high], "log.clipped")], OUTPUT)
