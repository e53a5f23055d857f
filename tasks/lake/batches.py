"""Batches of rows: large enough for efficient steps, with a limit on their bytes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import pyarrow as pa

ROWS = 122_880  # of a batch: one DuckDB row group
BYTES = 1 << 27  # of a batch: rows may be wide
WIDEST = 1 << 16  # bytes of a row's texts and lists; files with wider rows are read without the values of these


def bounded_batches(chunks: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """The same rows in batches of at least `ROWS` rows or `BYTES` bytes, the last one excepted."""
    pending: list[pa.RecordBatch] = []
    rows = size = 0
    for chunk in chunks:
        pending.append(chunk)
        rows, size = rows + chunk.num_rows, size + chunk.nbytes
        if rows >= ROWS or size >= BYTES:
            yield pa.concat_batches(pending)
            pending, rows, size = [], 0, 0
    if pending:
        yield pa.concat_batches(pending)
