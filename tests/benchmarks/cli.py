"""cli-*: how long the console script takes to say something, on a home of a few finished nights."""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import yaml

TIMES = 5
TARGETS = {"unknown-plan": 1.5, "plug-in-option": 3.0, "finished-night": 2.5, "status": 1.5, "help": 0.5}


def run(what: str) -> dict[str, object]:
    """The median of `TIMES` runs of one command, after one that does not count."""
    home = Path(tempfile.mkdtemp(prefix="nightloop-bench-"))
    words, code = begun(home)[what]
    clean = {k: v for k, v in os.environ.items() if not k.startswith(("PREFECT_", "NIGHTLOOP_"))}
    clean.pop("PYTHONDONTWRITEBYTECODE", None)  # compiling all over again is not the script's time
    seconds = []
    for _ in range(TIMES + 1):
        began = time.perf_counter()
        done = subprocess.run(
            [str(Path(sys.executable).with_name("nightloop")), *words],
            env={**clean, "NIGHTLOOP_HOME": str(home / "home")}, capture_output=True, text=True,
        )  # fmt: skip
        seconds.append(time.perf_counter() - began)
        assert done.returncode == code, done.stderr[-2000:]
    median = statistics.median(seconds[1:])
    return {
        "name": f"cli-{what}", "value": round(median, 2), "unit": "s", "target": f"<= {TARGETS[what]} s",
        "met": median <= TARGETS[what], "detail": {"seconds": [round(s, 2) for s in seconds], "words": " ".join(words)},
    }  # fmt: skip


def begun(home: Path) -> dict[str, tuple[list[str], int]]:
    """The commands and their exit codes; nights that they speak of are done."""
    from nightloop.tasks.simulation.deliver import deliver
    from tests.flows.tiny_pipeline import HISTORY, WORLD, raw_plan

    days = [deliver(WORLD, home / "in", day).stem for day in range(HISTORY + 3)]
    plan, wrong = home / "tiny.yaml", home / "wrong.yaml"
    plan.write_text(yaml.safe_dump(raw_plan(home)))
    model = {"use": "MF", "options": {"witdh": 8}}
    wrong.write_text(yaml.safe_dump(raw_plan(home, {"model": model})))
    night = ["night", str(plan), "--period", days[-1]]
    subprocess.run(
        [sys.executable, "-m", "nightloop", *night], check=True, capture_output=True,
        env={**os.environ, "NIGHTLOOP_HOME": str(home / "home"), "PREFECT_API_URL": ""},
    )  # fmt: skip
    return {
        "unknown-plan": (["night", "nothing"], 2),
        "plug-in-option": (["night", str(wrong)], 2),
        "finished-night": (night, 0),
        "status": (["status", str(plan)], 0),
        "help": (["--help"], 0),
    }
