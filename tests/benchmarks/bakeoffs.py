"""Bake-offs of benchmarks: `nightloop bakeoff` as a user runs it, in a home of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

ORDERS = Path(__file__).parents[2] / "infra" / "bakeoffs"


def raced(home: str, plan: str, order: str | Path, seeds: str) -> dict[str, Any]:
    """The document of a plan's bake-off under an order of `infra/bakeoffs`, or a file; `seeds` empty: the order's."""
    spec = order if isinstance(order, Path) else ORDERS / f"{order}.yaml"
    command = [sys.executable, "-m", "nightloop", "bakeoff", plan, "--spec", str(spec)]
    environment = {**os.environ, "NIGHTLOOP_HOME": home}
    done = subprocess.run([*command, "--seeds", seeds, "--json"], env=environment, stdout=subprocess.PIPE, check=True)
    found: dict[str, Any] = json.loads(done.stdout)
    return found
