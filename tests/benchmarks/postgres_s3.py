"""Benchmark `postgres-s3`: a night with the catalog in PostgreSQL and store and lake on S3, against the embedded default.

Both arms run the same nights of the same rows without a Prefect server, from the delivered file to the report, each in a new process.
The last night is timed. The S3 server is moto, which honours conditional writes, and PostgreSQL is the system's; both run on the cores
of the night. The processor time is that of the night alone.

python -m tests.benchmarks.postgres_s3 100000 20000    # other numbers of rows and users
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
import time
from pathlib import Path
from unittest.mock import patch

from tests.benchmarks.growth import build, processor_seconds, run_alone
from tests.postgres_server import running_postgres
from tests.s3_servers import ACCESS, SECRET, free_port, served

SIZES = {"rows": 1_000_000, "users": 100_000, "nights": 1, "strategies": 2}
WALL, PROCESSOR = 1.3, 1.1  # times the embedded night; the processor time is to be equal, and is measured to a tenth


def run(rows: int = SIZES["rows"], users: int = SIZES["users"]) -> dict[str, object]:
    """The last night of either arm, and their ratio."""
    sizes = {**SIZES, "rows": rows, "users": users}
    embedded = _night(sizes)
    port = free_port()
    with (
        running_postgres() as postgres,
        served([sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)], port) as s3,
        patch.dict(os.environ, {"AWS_ACCESS_KEY_ID": ACCESS, "AWS_SECRET_ACCESS_KEY": SECRET}),
    ):
        bucket = s3.bucket()
        remote = {
            "NIGHTLOOP_STORE": f"{bucket}/store", "NIGHTLOOP_DATA": f"{bucket}/lake", "NIGHTLOOP_S3_ENDPOINT": s3.endpoint,
            "NIGHTLOOP_S3_PATH_STYLE": "true",
            "NIGHTLOOP_CATALOG": f"postgres:dbname=postgres user=postgres host=127.0.0.1 port={postgres.port}",
        }  # fmt: skip
        with patch.dict(os.environ, remote):
            away = _night(sizes)
    ratios = {name: round(away[name] / embedded[name], 2) for name in embedded}
    return {
        "value": ratios["wall seconds"],
        "unit": "times the wall time of the embedded night",
        "target": f"at most {WALL}; processor time at most {PROCESSOR} times",
        "met": ratios["wall seconds"] <= WALL and ratios["CPU seconds"] <= PROCESSOR,
        "detail": {"sizes": sizes, "embedded": embedded, "PostgreSQL and S3": away, "ratios": ratios},
    }


def _night(sizes: dict[str, int]) -> dict[str, float]:
    """What the last night of a new pipeline takes, where the environment says."""
    with tempfile.TemporaryDirectory(prefix="nightloop-bench-") as home:
        run_alone(build, home, sizes)
        return run_alone(time_night, home, sizes)


def time_night(place: Path, sizes: dict[str, int]) -> dict[str, float]:
    """The last night, after the one before it, which imports and compiles what both need."""
    from nightloop.flows.nightly import nightly

    days, plan = json.loads((place / "days.json").read_text()), str(place / "plan.yaml")
    nightly(plan, days[-2])
    began, before = time.perf_counter(), processor_seconds()
    nightly(plan, days[-1])
    return {
        "wall seconds": round(time.perf_counter() - began, 2), "CPU seconds": round(processor_seconds() - before, 2),
    }  # fmt: skip


if __name__ == "__main__":
    print(json.dumps(run(*map(int, sys.argv[1:])), indent=2))
