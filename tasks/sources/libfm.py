"""libFM: one-hot rows as `label index:1 index:1 ...`, as Frappe and the tags of MovieLens are published."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc

from nightloop.tasks.formats.csv_reader import Dialect, read_delimited
from nightloop.tasks.formats.file_columns import check_columns
from nightloop.tasks.formats.row_order_time import MADE, Positions
from nightloop.tasks.formats.select_files import list_files, rows_in_period
from nightloop.tasks.lake.incoming import LINE
from nightloop.tasks.lake.periods import Period
from nightloop.tasks.lake.warehouse import Warehouse
from nightloop.tasks.plan.errors import DataError, PlanError
from nightloop.tasks.plan.plan import Columns

WHOLE = Dialect("\x01", "utf-8", ("line",))  # a line at a time


@dataclass(frozen=True)
class LibFM:
    """One-hot rows as `label index:1 index:1 ...`, as Frappe and the tags of MovieLens are published.

    Both come in this format from the experiments of He and Chua (2017), with labels 1 and -1 and two sampled negatives
    to a positive. **Neither has times**, and the rows are shuffled: `time` is made from the position of a row (see
    `nightloop.tasks.formats.row_order_time`), so that periods are equal random parts and nothing drifts. The data are
    good for checking models, not for comparing ways to retrain. The columns are `label`, 0 if the file says -1, those
    of `fields`, and `time`, `row` and `group`, which are made from the position.

    Parameters
    ----------
    path : str or sequence of str
        One file or several, plain or .gz, in the order in which they follow each other.
    fields : sequence of str
        Names of a row's indices, in their order. MovieLens tags: user, item, tag. Frappe: user, item, daytime, weekday,
        isweekend, homework, cost, weather, country, city.
    first_day : str, default "2000-01-01"
        Date of the first row. It is made up; give the same date in the plan's `periods`.
    rows_a_day : int, default 10000
        Rows of a day.
    groups : int, default 1000
        Number of groups of rows, for the column `group`.

    Raises
    ------
    PlanError
        A path is no text, is empty or is too long, or `fields` repeats a name or has one of the made columns.
    DataError
        Another option is out of range.

    References
    ----------
    Rendle 2012, Factorization machines with libFM. Baltrunas et al. 2015, Frappe: understanding the usage and
    perception of mobile app recommendations in-the-wild. He and Chua 2017, Neural factorization machines for sparse
    predictive analytics.

    Examples
    --------
    >>> from pathlib import Path
    >>> from tempfile import TemporaryDirectory
    >>> from nightloop.tasks.lake.periods import period
    >>> from nightloop.tasks.lake.warehouse import Warehouse
    >>> from nightloop.tasks.plan.plan import Columns, Counts
    >>> from nightloop.tasks.plan.settings import Settings
    >>> from nightloop.tasks.sources.libfm import LibFM
    >>> columns = Columns(user="user", item="item", time="time", label="label", categorical=("tag",))
    >>> with TemporaryDirectory() as folder, Warehouse.open(Settings(home=Path(folder)), "tags") as warehouse:
    ...     _ = Path(folder, "ml-tag.train.libfm").write_text("-1 451:1 4149:1 5041:1")
    ...     source = LibFM(f"{folder}/ml-tag.train.libfm", fields=("user", "item", "tag"))
    ...     [batch] = source.batches(warehouse, period(Counts(rows=1), 0), columns)
    >>> batch.select(["label", "user", "item", "tag", "row"]).to_pylist()
    [{'label': '0', 'user': '451', 'item': '4149', 'tag': '5041', 'row': 'row:0'}]
    """

    path: str | tuple[str, ...]
    fields: tuple[str, ...]
    first_day: str = "2000-01-01"
    rows_a_day: int = 10_000
    groups: int = 1000

    def __post_init__(self) -> None:
        """Raise PlanError or DataError if an option is out of range."""
        if not self.paths or not all(isinstance(path, str) and 0 < len(path) <= 4096 for path in self.paths):
            raise PlanError("libfm needs `path`: one path or a list of them, each at most 4,096 characters")
        taken = {*MADE, "label", "_micros", LINE} & {*self.fields}
        if not self.fields or len({*self.fields}) < len(self.fields) or taken:
            raise PlanError(f"libfm needs `fields`: names, each once, none of {', '.join(MADE)}, label")
        _ = self.positions

    @property
    def paths(self) -> tuple[str, ...]:
        """The paths as given, one or many."""
        return (self.path,) if isinstance(self.path, str) else tuple(self.path)

    @property
    def positions(self) -> Positions:
        """The clock that makes times from positions."""
        return Positions(self.first_day, self.rows_a_day, self.groups)

    def describe(self) -> str:
        """One line for people."""
        return f"libFM rows of {', '.join(self.fields)} in {', '.join(self.paths)}, with times made up from positions"

    def batches(self, warehouse: Warehouse, period: Period, columns: Columns) -> Iterable[pa.RecordBatch]:
        """The period's rows. Raises FileNotFoundError if there is no file, DataError if no line is such a row."""
        files = [file for path in self.paths for file in list_files(warehouse, path)]
        check_columns(self.paths[0], ("label", *self.fields, *MADE), columns.names)
        lines = read_delimited(warehouse, files, WHOLE, columns.model_copy(update={"time": "line"}), ["line"], False)
        return rows_in_period(self.positions.put(self._rows(lines, files[0]), "row", end=period.end), period, files[0])

    def _rows(self, lines: Iterable[pa.RecordBatch], file: str) -> Iterator[pa.RecordBatch]:
        """Parsed lines; others as `_line`. Raises DataError if the first batch has no row."""
        checked = False
        for batch in lines:
            blank = pc.equal(pc.utf8_trim_whitespace(pc.fill_null(batch.column("line"), "")), "")
            rejected = pc.is_valid(batch.column(LINE)) if LINE in batch.schema.names else False
            rows = _parse_lines(batch.filter(pc.or_(rejected, pc.invert(blank))), self.fields)
            if not checked and rows.column(LINE).null_count == 0 and rows.num_rows:
                raise DataError(
                    f"{file}: its lines are not a label and {len(self.fields)} times index:1 "
                    f"({', '.join(self.fields)}); the first is {rows.column(LINE)[0].as_py()[:60]!r}"
                )
            checked = True
            yield rows


def _parse_lines(batch: pa.RecordBatch, fields: tuple[str, ...]) -> pa.RecordBatch:
    """A label and one index for each of `fields` from column `line`; in other cases `_line`."""
    lines = batch.column("line")
    shape = rf"^\s*(?:[+-]?1|0)(?:\.0*)?(?:\s+\d+:1(?:\.0*)?){{{len(fields)}}}\s*$"
    good = pc.fill_null(pc.match_substring_regex(lines, shape), False)
    parts = pc.utf8_split_whitespace(pc.if_else(good, pc.utf8_trim_whitespace(lines), " 0:1" * (1 + len(fields))))
    words = {name: pc.list_element(parts, at) for at, name in enumerate(("label", *fields))}
    values = {name: pc.if_else(good, pc.list_element(pc.split_pattern(word, ":"), 0), None)
              for name, word in words.items()}  # fmt: skip
    values["label"] = pc.if_else(pc.match_substring_regex(values["label"], "^[-0]"), "0", pc.if_else(good, "1", None))
    rejected = batch.column(LINE) if LINE in batch.schema.names else lines
    return pa.RecordBatch.from_pydict(
        {**values, LINE: pc.if_else(good, None, pc.coalesce(rejected, lines, pa.scalar("")))}
    )
