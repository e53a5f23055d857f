"""Source: where logs come from. It hands over Arrow batches and knows nothing of what becomes of them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol

import pyarrow as pa

from nightloop.tasks.lake.periods import Period
from nightloop.tasks.lake.warehouse import Warehouse
from nightloop.tasks.plan.plan import Columns


class Source(Protocol):
    """A frozen dataclass whose fields are its options."""

    def batches(self, warehouse: Warehouse, period: Period, columns: Columns) -> Iterable[pa.RecordBatch]:
        """The rows of `period` in the order they came, at least the columns that `columns` names, under those names.

        By equal counts (`period.rows`) these are all rows there are: the lake puts them in order and cuts. Values come
        as they are, text or typed; the lake reads them. A row that cannot be taken apart may be handed over as text in
        a column `_line`, all else null. Raises FileNotFoundError, or ValueError that says what was found and what to
        do.
        """
        ...

    def describe(self) -> str:
        """One line for people: what is read, from where."""
        ...
