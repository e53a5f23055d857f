"""One period collected and validated in this process, for the benchmark `collect`, which starts it: FILE HOME."""

from __future__ import annotations

import json
import resource
import sys
import time
from pathlib import Path


def main(file: str, home: str) -> None:
    """Print the seconds of each part, imports included, the rows, and the peak of memory in GiB."""
    began = time.perf_counter()

    from nightloop.tasks.data.vocabulary import empty_vocabulary
    from nightloop.tasks.lake.ingest import land_period
    from nightloop.tasks.lake.periods import period
    from nightloop.tasks.lake.warehouse import Warehouse
    from nightloop.tasks.plan.plan import Calendar, Columns, Part, Plan
    from nightloop.tasks.plan.settings import Settings
    from nightloop.tasks.sources.files import Files
    from nightloop.tasks.validation.gx import EarlierNights, import_in_background, validate_period

    part = Part(use="any")
    columns = Columns(user="user", item="item", time="time", label="click", categorical=("device",), numeric=("price",))
    plan = Plan(
        pipeline="bench", source=part, columns=columns, periods=Calendar(start="2026-01-01"), pretrain=part, model=part,
        strategies={"one": part},
    )  # fmt: skip
    imported = time.perf_counter()
    with Warehouse.open(Settings(home=Path(home)), "bench") as warehouse:
        import_in_background()
        source, at = Files(path=file.replace("2026-01-01", "{period}")), period(plan.periods, 0)
        landing = land_period(warehouse, source, plan, at)
        landed = time.perf_counter()
        validate_period(warehouse, plan, at, landing.version, EarlierNights((), empty_vocabulary(columns)))
    done = time.perf_counter()
    print(json.dumps({
        "import": imported - began, "collect": landed - imported, "validate": done - landed, "seconds": done - began,
        "rows": landing.rows, "gib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20,
    }))  # fmt: skip


if __name__ == "__main__":
    main(*sys.argv[1:])
