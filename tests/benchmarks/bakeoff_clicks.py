"""Benchmark `bakeoff-clicks`: every click model, and every strategy for labelled logs, on the simulated click world."""

from __future__ import annotations

import sys
import tempfile
from typing import Any

from nightloop.tasks.sources.click_world import SHAPES
from tests.benchmarks.bakeoffs import raced

ROWS = SHAPES["criteo", "small"].rows  # a day


def run(seeds: str = "") -> dict[str, object]:
    """Both tables. `seeds` such as "0,1" race in place of the orders'."""
    with tempfile.TemporaryDirectory() as home:
        found = {order: raced(home, "click-world", order, seeds) for order in ("click-models", "click-strategies")}
    best = found["click-models"]["leaderboard"]["clicks"][0]
    failed = [one for document in found.values() for one in document["failed"]]
    return {
        "value": best["means"]["logloss"], "unit": f"LogLoss of {best['entrant']}", "target": "reported", "met": not failed,
        "detail": {"failed": failed, "advice": [line for document in found.values() for line in document["advice"]]},
        "markdown": "\n\n".join(table(document["leaderboard"]["clicks"]) for document in found.values()),
    }  # fmt: skip


def table(lines: list[dict[str, Any]]) -> str:
    """A leaderboard in markdown: quality, calibration (predicted over observed clicks), speed of learning a day."""
    rows = ["| entrant | AUC | LogLoss | calibration | rows a second |", "|---|--:|--:|--:|--:|"]
    for line in lines:
        means, spread = line["means"], line["sd_over_seeds"]
        scores = " | ".join(f"{means[m]:.4f} ± {spread.get(m, 0):.4f}" for m in ("auc", "logloss"))
        speed = f"{ROWS / line['seconds_a_period']:,.0f}" if line["seconds_a_period"] > 0.01 else ""
        rows.append(f"| {line['entrant']} | {scores} | {means['calibration']:.3f} | {speed} |")
    return "\n".join(rows)


if __name__ == "__main__":
    print(run(*sys.argv[1:2])["markdown"])
