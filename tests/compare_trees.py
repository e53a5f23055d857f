"""Compare what two checkouts make of the demo, and of a bake-off on real logs: every tensor, bit by bit.

    python -m tests.compare_trees OTHER_CHECKOUT OTHER_PYTHON [RATINGS]

A change that only moves or renames code must give the same tensors. The demo runs once in each checkout, in a home of its
own; so does a bake-off of four strategies on RATINGS (movietweetings.parquet), if they are given. Records may have other
formats; the tensors may not differ. OTHER_PYTHON has the other checkout installed (`make demo` there makes .venv).
"""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import yaml
from safetensors import SafetensorError
from safetensors.numpy import load

HERE = Path(__file__).parents[1]
RACE = (
    "--strategies",
    "no-update,fine-tune,full-retrain,SPMF,SML",
    "--end",
    "000008",
    "--test-periods",
    "000006..000008",
)


def run(checkout: tuple[Path, str], home: Path, *words: str) -> None:
    """Run a verb of a checkout in a home."""
    place, python = checkout
    start = "nightloop" if (place / "nightloop").exists() else "flows"
    own = {"NIGHTLOOP_HOME": str(home), "PREFECT_LOGGING_LEVEL": "ERROR", "PYTHONPATH": str(place)}
    command = [python, "-m", start, *words]
    subprocess.run(command, cwd=place, env={**os.environ, **own}, check=True, stdout=subprocess.DEVNULL)


def tensors_of_demo(checkout: tuple[Path, str], home: Path) -> dict[str, object]:
    """By night, revision and strategy, and weights or memory: every tensor as its type, shape and bytes."""
    run(checkout, home, "demo")
    found: dict[str, object] = {}
    store = home / "store"
    for path in sorted(store.glob("pipelines/demo/nights/*/*.json")):
        night = json.loads(path.read_bytes().splitlines()[0])
        for strategy, kept in night["checkpoints"].items():
            for part in ("weights", "memory"):
                (blob,) = store.glob(f"blobs/**/{kept[part]}*")
                arrays = load(blob.read_bytes())
                named = {name: repr((a.dtype, a.shape)).encode() + a.tobytes() for name, a in arrays.items()}
                found[f"{path.parent.name}/{path.stem} {strategy} {part}"] = named
    return found


def tensors_of_bakeoff(checkout: tuple[Path, str], home: Path, ratings: Path) -> dict[str, object]:
    """Scored rows and starting weights of all cells, each named by the digest of its tensors: cells have no other name."""
    plan = yaml.safe_load((checkout[0] / "infra" / "plans" / "movietweetings.yaml").read_text())
    plan["source"] = {"use": "files", "options": {"path": str(ratings)}}
    plan["columns"] |= {"user": "user_id", "item": "item_id", "time": "ts", "time_unit": "auto"}
    path = home / "movietweetings.yaml"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(yaml.safe_dump(plan))
    old = not (checkout[0] / "nightloop").exists()
    race = tuple("--periods" if old and word == "--test-periods" else word for word in RACE)
    run(checkout, home, "bakeoff", str(path), *race)
    found: dict[str, object] = {}
    for blob in sorted((home / "store").glob("blobs/**/*")):
        try:
            arrays = load(blob.read_bytes()) if blob.is_file() else {}
        except SafetensorError:
            continue  # a text
        if arrays:
            whole = b"".join(repr((n, a.dtype, a.shape)).encode() + a.tobytes() for n, a in sorted(arrays.items()))
            found[f"{len(arrays)} tensors {hashlib.sha256(whole).hexdigest()}"] = True
    return found


def main() -> None:
    """Print what differs; exit code 1 if something does."""
    other, ratings = (Path(sys.argv[1]).resolve(), sys.argv[2]), [Path(path).resolve() for path in sys.argv[3:4]]
    wrong = False
    with tempfile.TemporaryDirectory() as room:
        for name in ("demo", *("bakeoff" for _ in ratings)):
            made = [
                tensors_of_bakeoff(tree, Path(room) / name / side, ratings[0])
                if name == "bakeoff"
                else tensors_of_demo(tree, Path(room) / name / side)
                for tree, side in (((HERE, sys.executable), "ours"), (other, "theirs"))
            ]
            ours, theirs = made
            differ = [key for key in sorted({*ours} | {*theirs}) if ours.get(key) != theirs.get(key)]
            print(f"{name}: {len(ours)} here, {len(theirs)} there, {len(differ)} differ")
            print("\n".join(differ[:20]))
            wrong = wrong or bool(differ) or not ours
    sys.exit(wrong)


if __name__ == "__main__":
    main()
