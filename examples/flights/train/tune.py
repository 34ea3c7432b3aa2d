"""Tunes the pooled model for each bridge tenant, and judges what came of it beside the pooled and the full model.

    python tune.py --dir examples/flights [--bulkhead target/debug/bulkhead]

Reads models/pooled.onnx and eval.json under --dir, writes models/tuned/*.onnx, and `adapters` into eval.json: the MAPE
of each, and, where --bulkhead is given, how many bytes the packages have.
"""

import argparse
import hashlib
import json
from pathlib import Path
import subprocess
import tempfile
import warnings

import numpy as np
import onnx
from onnx import helper, numpy_helper
import onnxruntime
import pandas as pd
from sklearn.exceptions import ConvergenceWarning
from sklearn.neural_network import MLPRegressor
from threadpoolctl import threadpool_limits

import flights_data as data
import graph

# Chosen before anything was measured, and not changed since: half the steps of a model that starts from nothing, at
# the rates at which the training of one ends.
STEPS, BATCH, ALPHA, RATES, SEED = 750, 256, 0.1, (3e-4, 1e-4), 2013
RANK = 8
# What the first layer makes of a flight, which is not tuned: a table of airports is no thin change.
ACTIVE = "layer1.in"


def main():
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    arguments.add_argument("--dir", type=Path, required=True, help="the folder of the example, examples/flights")
    arguments.add_argument("--bulkhead", type=Path, help="the command that packs the models")
    options = arguments.parse_args()
    with threadpool_limits(limits=1):
        tune(options.dir, options.bulkhead)


def tune(folder: Path, bulkhead: Path | None):
    flights = data.load()
    seen, held_out = data.training_rows(flights), data.held_out_rows(flights)
    pooled = onnx.load(folder / "models/pooled.onnx")
    evaluation = json.loads((folder / "eval.json").read_text())
    (folder / "models/tuned").mkdir(exist_ok=True)
    adapters = []
    for entry in evaluation["carriers"]:
        if entry["verdict"] != "dedicated":
            continue
        carrier = entry["carrier"]
        tuned = tuned_model(pooled, own(seen, carrier))
        path = folder / f"models/tuned/{carrier.lower()}.onnx"
        path.write_bytes(tuned.SerializeToString(deterministic=True))
        mape = errors(path, own(held_out, carrier)).mean()
        adapters.append({
            "carrier": carrier,
            "mape": round(float(mape), 6),
            "full_mape": entry["mape"],
            "pooled_mape": entry["pooled_mape"],
            "file": f"models/tuned/{carrier.lower()}.onnx",
            "sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
        })
        print(f"{carrier}: MAPE {mape:.4f}, full {entry['mape']:.4f}, pooled {entry['pooled_mape']:.4f}", flush=True)
    if bulkhead:
        weigh(folder, bulkhead, adapters)
    (folder / "eval.json").write_text(json.dumps(evaluation | {"adapters": adapters}, indent=2) + "\n")


def own(flights: pd.DataFrame, carrier: str) -> pd.DataFrame:
    return flights[flights.carrier == carrier].reset_index(drop=True)


def tuned_model(pooled: onnx.ModelProto, rows: pd.DataFrame) -> onnx.ModelProto:
    """The pooled model with the layers after its first trained on, by these rows alone."""
    weights = {it.name: numpy_helper.to_array(it) for it in pooled.graph.initializer}
    layers = sorted(name.removesuffix(".weights") for name in weights if name.endswith(".weights"))
    columns = activations(pooled, rows)
    log_minutes = np.log(rows[data.TARGET].to_numpy(np.float64))
    target = (log_minutes - weights["log.by"].item()) / weights["log.spread.by"].item()
    mlp = continued(
        [weights[f"{layer}.weights"] for layer in layers], [weights[f"{layer}.bias"][0] for layer in layers],
        columns, target.astype(np.float32),
    )
    tuned = onnx.ModelProto()
    tuned.CopyFrom(pooled)
    for layer, matrix, bias in zip(layers, mlp.coefs_, mlp.intercepts_):
        weights[f"{layer}.weights"], weights[f"{layer}.bias"] = matrix, bias[None, :]
    for it in tuned.graph.initializer:
        it.CopyFrom(numpy_helper.from_array(np.asarray(weights[it.name]), it.name))
    properties = {it.key: it.value for it in tuned.metadata_props}
    properties |= {"tuned_on_carriers": ",".join(sorted(rows.carrier.unique())), "tuned_on_rows": str(len(rows))}
    helper.set_model_props(tuned, properties)
    onnx.checker.check_model(tuned, full_check=True)
    return tuned


def activations(pooled: onnx.ModelProto, rows: pd.DataFrame) -> np.ndarray:
    """What the pooled model's first layer makes of the rows, shape [rows, units]."""
    shortened = onnx.ModelProto()
    shortened.CopyFrom(pooled)
    shortened.graph.output.append(helper.make_tensor_value_info(ACTIVE, onnx.TensorProto.FLOAT, None))
    session = onnxruntime.InferenceSession(shortened.SerializeToString(), providers=["CPUExecutionProvider"])
    return session.run([ACTIVE], graph.feed(rows))[0]


def continued(matrices, biases, columns: np.ndarray, target: np.ndarray) -> MLPRegressor:
    """A network that starts from these weights."""
    batch = min(BATCH, len(columns))
    epochs = max(1, round(STEPS / len(RATES) / -(-len(columns) // batch)))
    mlp = MLPRegressor(
        hidden_layer_sizes=tuple(matrix.shape[1] for matrix in matrices[:-1]), alpha=ALPHA, batch_size=batch,
        max_iter=epochs, tol=0.0, n_iter_no_change=10**6, random_state=SEED, warm_start=True,
    )
    mlp.partial_fit(columns[:batch], target[:batch])
    mlp.coefs_, mlp.intercepts_ = [it.copy() for it in matrices], [it.copy() for it in biases]
    for rate in RATES:
        mlp.set_params(learning_rate_init=rate)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            mlp.fit(columns, target)
    return mlp


def errors(path: Path, rows: pd.DataFrame) -> np.ndarray:
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    predicted = session.run([graph.OUTPUT], graph.feed(rows))[0][:, 0]
    actual = rows[data.TARGET].to_numpy(np.float64)
    return np.abs(predicted - actual) / actual


def weigh(folder: Path, bulkhead: Path, adapters: list[dict]):
    """Packs the pooled model, and each tenant's as its full model and over the pooled one."""
    with tempfile.TemporaryDirectory() as place:
        def pack(onnx_file: Path, name: str, *more: str) -> int:
            package = Path(place) / name
            subprocess.run(
                [bulkhead, "model", "pack", onnx_file, "-o", package, *more], check=True, stdout=subprocess.DEVNULL
            )
            return package.stat().st_size

        pooled_bytes = pack(folder / "models/pooled.onnx", "pooled.bha", "--without-source")
        base = ["--base", f"{place}/pooled.bha", "--rank", str(RANK)]
        for entry in adapters:
            name = entry["carrier"].lower()
            entry["bytes"] = pack(folder / entry["file"], f"{name}.adapter.bha", *base)
            entry["full_bytes"] = pack(folder / f"models/{name}.onnx", f"{name}.bha", "--without-source")
            entry["pooled_bytes"] = pooled_bytes


if __name__ == "__main__":
    main()
