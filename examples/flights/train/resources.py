"""Writes the example's resources from `eval.json`: the models and the tenants, as `bulkhead apply` takes them.

    python resources.py --dir examples/flights

A carrier whose own model passed the promotion gate is a bridge tenant with that model. Delta is a silo, with the
model trained on its own flights alone, as its contract demands. The rest are pool tenants with the pooled model.
"""

import argparse
import json
from pathlib import Path

SILO = "DL"
PUBLIC_NAME = "air-time"
HEADER = "# Written by examples/flights/train/resources.py from eval.json. Do not edit: train again.\n"


def org(carrier: str) -> str:
    return f"org_{carrier.lower()}"


def model_resource(name: str, entry: dict, trained_on: list[str], status: str) -> str:
    orgs = ", ".join(trained_on)
    return f"""---
apiVersion: bulkhead.dev/v1
kind: Model
metadata:
  name: {name}
spec:
  versions:
    - version: "1"
      artifact: ../{entry["file"]}
      digest: sha256:{entry["sha256"]}
      trainedOn: [{orgs}]
      evaluation:
        rowsTrained: {entry["rows_trained"]}
        rowsEvaluated: {entry["rows_evaluated"]}
        mape: {entry["mape"]:.6f}
        pooledMape: {entry.get("pooled_mape", entry["mape"]):.6f}
      status: {status}
"""


def tenant_resource(entry: dict) -> str:
    carrier = entry["carrier"]
    if carrier == SILO:
        tier, plane, model = "silo", f"silo-{carrier.lower()}", f"air-time-{carrier.lower()}"
        note = "silo by contract: dedicated nodes and a model of its own data alone"
    elif entry["verdict"] == "dedicated":
        tier, plane, model = "bridge", "shared", f"air-time-{carrier.lower()}"
        note = "its own model beats the pooled one on its own held-out flights"
    else:
        tier, plane, model, note = "pool", "shared", "air-time-pooled", entry["verdict"]
    return f"""---
apiVersion: bulkhead.dev/v1
kind: Tenant
metadata:
  name: {org(carrier)}
  labels: {{carrier: "{carrier}"}}
  annotations:
    promotion: "{note}"
spec:
  tier: {tier}
  dataPlane: {plane}
  models:
    - {{name: {PUBLIC_NAME}, model: {model}, version: "1"}}
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dir", type=Path, default=Path("examples/flights"), help="the folder that holds eval.json")
    folder = parser.parse_args().dir
    evaluation = json.loads((folder / "eval.json").read_text())
    carriers = sorted(evaluation["carriers"], key=lambda entry: entry["carrier"])
    everyone = [org(entry["carrier"]) for entry in carriers]

    models = [model_resource("air-time-pooled", evaluation["pooled"], everyone, "ready")]
    for entry in carriers:
        serves = entry["verdict"] == "dedicated" or entry["carrier"] == SILO
        name = f"air-time-{entry['carrier'].lower()}"
        models.append(model_resource(name, entry, [org(entry["carrier"])], "ready" if serves else "rejected"))

    resources = folder / "resources"
    resources.mkdir(exist_ok=True)
    (resources / "models.yaml").write_text(HEADER + "".join(models))
    (resources / "tenants.yaml").write_text(HEADER + "".join(map(tenant_resource, carriers)))
    print(f"wrote {len(models)} models and {len(carriers)} tenants into {resources}")


if __name__ == "__main__":
    main()
