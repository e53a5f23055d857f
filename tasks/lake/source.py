"""Source: the protocol of a reader of logs. It returns Arrow batches and does not depend on their use."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol

import pyarrow as pa

from nightloop.tasks.lake.periods import Period
from nightloop.tasks.lake.warehouse import Warehouse
from nightloop.tasks.plan.plan import Columns


class Source(Protocol):
    """Where logs come from: a frozen dataclass whose fields are the options in a plan.

    Examples
    --------
    A source of equal rows.

    >>> from dataclasses import dataclass
    >>> import pyarrow as pa
    >>> from nightloop.tasks.lake.periods import period
    >>> from nightloop.tasks.plan.plan import Calendar, Columns
    >>> @dataclass(frozen=True)
    ... class Constant:
    ...     rows: int = 3
    ...     def describe(self):
    ...         return f"{self.rows} equal rows a period"
    ...     def batches(self, warehouse, period, columns):
    ...         row = {columns.user: "ann", columns.item: "tea", columns.time: period.start}
    ...         yield pa.RecordBatch.from_pylist([row] * self.rows)
    >>> columns, day = Columns(user="who", item="what", time="when"), period(Calendar(start="2026-01-01"), 0)
    >>> [batch] = Constant(rows=2).batches(None, day, columns)
    >>> print(batch.num_rows, batch.to_pylist()[0])
    2 {'who': 'ann', 'what': 'tea', 'when': 1767225600000000}
    """

    def batches(self, warehouse: Warehouse, period: Period, columns: Columns) -> Iterable[pa.RecordBatch]:
        """The rows of a period, in the order in which they came.

        Values come as they are, as text or typed; the lake parses them. A row that cannot be parsed may be returned as
        text in a column `_line`, with all other columns null.

        Parameters
        ----------
        warehouse : Warehouse
            The open lake, which reads files.
        period : Period
            The period. With equal counts (`period.rows`) the source returns all rows there are; the lake sorts and cuts
            them.
        columns : Columns
            The plan's columns.

        Returns
        -------
        iterable of RecordBatch
            At least the columns that `columns` names, under those names.

        Raises
        ------
        FileNotFoundError
            There is no file.
        DataError
            A file has another format, or lacks a column. The message says what was found and what to do.
        """

    def describe(self) -> str:
        """One line for people: what is read, and from where."""
