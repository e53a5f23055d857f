"""A small lake for tests: plans, batches and warehouses in a line."""

from __future__ import annotations

from contextlib import AbstractContextManager
from pathlib import Path

import pyarrow as pa

from nightloop.tasks.lake.periods import Period, period
from nightloop.tasks.lake.warehouse import Warehouse
from nightloop.tasks.plan.plan import Calendar, Columns, Counts, Part, Plan
from nightloop.tasks.plan.settings import Settings

DAYS = Calendar(start="2026-01-01")
NAMES = Columns(user="u", item="i", time="t", label="y", categorical=("device",), numeric=("price",))
DAY = 86_400_000_000
START = 1_767_225_600_000_000  # 2026-01-01 UTC in µs


def plan(columns: Columns = NAMES, periods: Calendar | Counts = DAYS) -> Plan:
    part = Part(use="any")
    return Plan(
        pipeline="pond",
        source=part,
        columns=columns,
        periods=periods,
        pretrain=part,
        model=part,
        strategies={"one": part},
    )


def lake(home: Path, **settings: object) -> AbstractContextManager[Warehouse]:
    return Warehouse.open(Settings(home=home, **settings), "pond")  # type: ignore[arg-type]


def day(index: int) -> Period:
    return period(DAYS, index)


def rows(*rows: tuple[object, object, object, object, object, object]) -> list[pa.RecordBatch]:
    """One batch; each row is user, item, second of 2026-01-01, label, device, price."""
    user, item, second, label, device, price = (list(column) for column in zip(*rows, strict=True))
    times = pa.array([None if s is None else START + int(s * 1e6) for s in second], pa.timestamp("us", tz="UTC"))  # type: ignore[operator]
    columns = {"u": user, "i": item, "t": times, "y": label, "device": device, "price": price}
    return [
        pa.RecordBatch.from_pydict(
            {name: values if name == "t" else pa.array(values) for name, values in columns.items()}
        )
    ]


SIMPLE = (
    ("ann", 1, 5, 1, "phone", 2.5),
    ("bob", 2, 3, 0, "web", 1.0),
    ("ann", 10, 3, 1, None, None),
    ("ann", 2, 3, 0, "phone", 0.0),
)
