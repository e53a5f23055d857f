"""A source of your own: collect three deliveries through it into the lake, and count the rows.

Run it with: python examples/own_source.py

The source reads one file for each day, with a line for each play: `time user > song`. A source hands over rows as Arrow
batches, with the values as they are. The lake reads ids and times, gives each content of a period a version, and puts rows
aside that it cannot use. All files are written to a temporary directory.

To use it in a plan as `use: plays`, put the class in a package of your own, say yours.py, and register it in that package's
pyproject.toml by an entry point. Then `pip install .` in that package.

    [project.entry-points."nightloop.sources"]
    plays = "yours:Plays"
"""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import pyarrow as pa
from pydantic import SecretStr

from nightloop.tasks.lake.ingest import land_period
from nightloop.tasks.lake.periods import Period, period
from nightloop.tasks.lake.warehouse import Warehouse
from nightloop.tasks.plan.plan import Calendar, Columns, Part, Plan
from nightloop.tasks.plan.settings import Settings

FIRST = "2026-01-01T08:00Z ann > tea\n2026-01-01T08:05Z bob > rain\n2026-01-01T08:05Z bob > rain\n"
SECOND = "2026-01-02T09:00Z ann > rain\nhalf past nine bob > tea\n"
LATE = "2026-01-02T09:00Z ann > rain\n2026-01-02T09:30Z bob > tea\n"

PLAN = Plan(  # only the columns and the periods matter here
    pipeline="radio",
    source=Part(use="plays", options={"path": "{day}.log"}),
    columns=Columns(user="listener", item="song", time="at"),
    periods=Calendar(start="2026-01-01"),
    pretrain=Part(use="FullRetrain"),
    model=Part(use="MF"),
    strategies={"fine-tune": Part(use="FineTune")},
)


@dataclass(frozen=True)
class Plays:
    """Plays, one line each. The fields of the class are its options in a plan."""

    path: str  # {day} in it stands for the day of the period

    def describe(self) -> str:
        """One line for people."""
        return f"plays in {self.path}"

    def batches(self, warehouse: Warehouse, period: Period, columns: Columns) -> Iterable[pa.RecordBatch]:
        """The plays of a period, under the names that the plan gives to its columns."""
        rows = []
        for line in Path(self.path.format(day=period.name)).read_text().splitlines():
            who, _, song = line.partition(" > ")
            time, _, user = who.rpartition(" ")
            rows.append({columns.time: time, columns.user: user, columns.item: song})
        yield pa.RecordBatch.from_pylist(rows)


if __name__ == "__main__":
    with TemporaryDirectory() as home:
        source = Plays(f"{home}/{{day}}.log")
        settings = Settings(home=Path(home), data="", catalog=SecretStr(""))  # whatever the environment says
        with Warehouse.open(settings, PLAN.pipeline) as lake:
            for index, content in ((0, FIRST), (1, SECOND), (1, LATE), (1, LATE)):
                day = period(PLAN.periods, index)
                Path(source.path.format(day=day.name)).write_text(content)
                landed = land_period(lake, source, PLAN, day)
                what = "a new version" if landed.fresh else "nothing new"
                print(f"{day.name}  {what}: version {landed.version}, {landed.rows} rows")
            for view in ("logs", "quarantine"):
                count = f"FROM {view} SELECT period, version, count(*) GROUP BY ALL ORDER BY ALL"
                for index, version, rows in lake.connection.execute(count).fetchall():
                    print(f"{view}: {period(PLAN.periods, index).name}, version {version}: {rows} rows")
