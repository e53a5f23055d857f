"""Benchmark `sml-forms`: the forms of SML's transfer of `infra/bakeoffs/sml-forms.yaml` on MovieTweetings, three seeds."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import yaml

from tests.benchmarks.bakeoff_movietweetings import plan, table
from tests.benchmarks.bakeoffs import raced
from tests.benchmarks.real_logs import DATA


def run(data: Path = DATA / "movietweetings.parquet", seeds: str = "") -> dict[str, object]:
    """Both tables, and the best form of SML. `seeds` such as "0,1" race in place of the specification's."""
    with tempfile.TemporaryDirectory() as home:
        path = Path(home) / "movietweetings.yaml"
        path.write_text(yaml.safe_dump(plan(data)))
        found = raced(home, str(path), "sml-forms", seeds)
    lines = {line["entrant"]: line for line in found["leaderboard"]["uniform"]}
    best = max((name for name in lines if "sml" in name), key=lambda name: lines[name]["means"]["ndcg@20"])
    return {
        "value": lines[best]["means"]["ndcg@20"], "unit": f"NDCG@20 of {best}", "target": "reported", "met": not found["failed"],
        "detail": {"failed": found["failed"], "advice": found["advice"]},
        "markdown": "\n\n".join(table(kind, found["leaderboard"][kind]) for kind in found["leaderboard"]),
    }  # fmt: skip


if __name__ == "__main__":
    print(run(*map(Path, sys.argv[1:2]), *sys.argv[2:3])["markdown"])
