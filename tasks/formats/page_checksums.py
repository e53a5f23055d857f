"""Page checksums: whether the pages of a Parquet file, on disk or on S3, match the checksums that its writer put beside them.

Pages are compared as they are stored, and are not unpacked: a file of some kilobytes may hold many gigabytes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from functools import partial
from io import SEEK_CUR, SEEK_END, SEEK_SET
from typing import Any, BinaryIO

import pyarrow as pa
import pyarrow.parquet as pq

from nightloop.tasks.formats.page_headers import page_checksums
from nightloop.tasks.lake.warehouse import Warehouse
from nightloop.tasks.plan.errors import DataError, StoreError

BUFFER, REMOTE = 1 << 20, 1 << 23  # bytes, and bytes of a file on S3, that are looked at together
JOINT = b"PAR1PAR1"  # the end of a file and the start of the next one


def check_pages(warehouse: Warehouse, file: str, wanted: Sequence[str]) -> None:
    """Raise DataError if files were joined, or a page of a wanted column does not match its checksum: DuckDB does not compare them.

    Spark and Hive write checksums. Damaged bytes of a file without them are read as other values.
    """
    try:
        with closing(_open_at_any_place(warehouse, file)) as stream, pq.ParquetFile(stream) as parquet:
            metadata = parquet.metadata
            _refuse_joined_files(file, stream, metadata)
            if path := _damaged_column(stream, metadata, wanted, REMOTE if "://" in file else BUFFER):
                raise DataError(
                    f"{file} is damaged: a page of its column {path[:60]!r} does not match its checksum. Deliver it again"
                )
    except StoreError:
        raise
    except (OSError, pa.ArrowException, EOFError):  # what Arrow cannot read DuckDB may read
        return


def _damaged_column(stream: BinaryIO, metadata: pq.FileMetaData, wanted: Sequence[str], piece: int) -> str:
    """The path of the first wanted column with a page that does not match its checksum; empty if there is none.

    If the first page has no checksum, the others are not looked at.
    """
    first = True
    for chunk in _chunks(metadata):
        path: str = chunk.path_in_schema
        if any(path == name or path.startswith(f"{name}.") for name in wanted):
            for said, found in page_checksums(stream, _chunk_start(chunk), chunk.total_compressed_size, piece):
                if first and said is None:
                    return ""
                first = False
                if said not in (None, found):
                    return path
    return ""


def _refuse_joined_files(file: str, stream: BinaryIO, metadata: pq.FileMetaData) -> None:
    """Raise DataError if a file is several that were joined, as cat does: the last footer would be read over the first file's rows."""
    end = max((_chunk_start(chunk) + chunk.total_compressed_size for chunk in _chunks(metadata)), default=0)
    stream.seek(end)
    last = b""
    while piece := stream.read(BUFFER):
        if JOINT in last + piece:
            raise DataError(
                f"{file} is several Parquet files joined into one, of which only one would be read, or none: deliver each as a file of "
                "its own"
            )
        last = piece[1 - len(JOINT) :]


def _chunk_start(chunk: pq.ColumnChunkMetaData) -> int:
    return int(chunk.dictionary_page_offset or chunk.data_page_offset)


def _chunks(metadata: pq.FileMetaData) -> Iterator[pq.ColumnChunkMetaData]:
    """The columns of each group of rows."""
    for group in map(metadata.row_group, range(metadata.num_row_groups)):
        yield from map(group.column, range(group.num_columns))


class ObjectRanges:
    """The bytes of an object of S3 from any place on. `opened` opens a span of them, by its first byte and how many they are."""

    def __init__(self, opened: Callable[[tuple[int, int]], Any]) -> None:
        self.opened, self.place, self.closed = opened, 0, False
        with opened((0, 1)) as first:
            self.size = int(first.raw.whole)

    def readable(self) -> bool:
        """Yes."""
        return True

    def seekable(self) -> bool:
        """Yes."""
        return True

    def tell(self) -> int:
        """The place."""
        return self.place

    def seek(self, offset: int, whence: int = SEEK_SET) -> int:
        """Go to a place, from the start, from here or from the end."""
        self.place = offset + {SEEK_SET: 0, SEEK_CUR: self.place, SEEK_END: self.size}[whence]
        return self.place

    def read(self, size: int) -> bytes:
        """So many bytes from the place on, fewer at the end. Raises StoreError if they do not come."""
        size = max(min(size, self.size - self.place), 0)
        if not size:
            return b""
        with self.opened((self.place, size)) as part:
            data: bytes = part.read(size)
        self.place += len(data)
        return data

    def close(self) -> None:
        """Read no more."""
        self.closed = True


def _open_at_any_place(warehouse: Warehouse, file: str) -> Any:
    if "://" in file and warehouse.remote:
        return ObjectRanges(partial(warehouse.remote, file))
    return warehouse.open_file(file)
