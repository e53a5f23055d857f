"""Compare what two checkouts make of the demo: every checkpoint of every night, bit by bit.

    python -m tests.compare_trees OTHER_CHECKOUT [OTHER_PYTHON]

A change that only moves or renames code must give the same tensors. The demo runs once in each checkout, in a home of its
own; records may have other formats, the tensors of a night and a strategy may not differ.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from safetensors.numpy import load

HERE = Path(__file__).parents[1]


def ran(checkout: Path, python: str, home: Path) -> Path:
    """Run the demo of a checkout; the home that it filled."""
    start = "nightloop" if (checkout / "nightloop").exists() else "flows"
    words = [python, "-m", start, "demo"]
    own = {"NIGHTLOOP_HOME": str(home), "PREFECT_LOGGING_LEVEL": "ERROR", "PYTHONPATH": str(checkout)}
    subprocess.run(words, cwd=checkout, env={**os.environ, **own}, check=True, stdout=subprocess.DEVNULL)
    return home


def tensors(home: Path) -> dict[str, dict[str, bytes]]:
    """By night, revision and strategy, and weights or memory: every tensor as its type, shape and bytes."""
    found: dict[str, dict[str, bytes]] = {}
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


def main() -> None:
    """Print what differs; exit code 1 if something does."""
    other, python = Path(sys.argv[1]).resolve(), (sys.argv[2:] or [sys.executable])[0]
    with tempfile.TemporaryDirectory() as room:
        ours = tensors(ran(HERE, sys.executable, Path(room) / "ours"))
        theirs = tensors(ran(other, python, Path(room) / "theirs"))
    differ = sorted({*ours} ^ {*theirs}) + [name for name in sorted({*ours} & {*theirs}) if ours[name] != theirs[name]]
    print(f"{len(ours)} checkpoints here, {len(theirs)} there, {len(differ)} differ")
    print("\n".join(differ[:20]))
    sys.exit(bool(differ) or not ours)


if __name__ == "__main__":
    main()
