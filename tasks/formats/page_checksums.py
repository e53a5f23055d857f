"""Page checksums: whether the pages of a Parquet file, on disk or on S3, match the checksums that its writer put beside them."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from contextlib import closing
from functools import partial
from io import SEEK_CUR, SEEK_END, SEEK_SET
from typing import Any, BinaryIO

import pyarrow as pa
import pyarrow.parquet as pq

from nightloop.tasks.lake.warehouse import Warehouse
from nightloop.tasks.plan.errors import DataError, StoreError

BATCH, BUFFER, REMOTE = 65_536, 1 << 20, 1 << 23  # rows, bytes, and bytes of a file on S3 that are looked at together
JOINT = b"PAR1PAR1"  # the end of a file and the start of the next one
NUMBER = rb"\x15[\x80-\xff]{0,4}[\x00-\x7f]"  # the next field of a header, an integer
PAGE_WITH_CHECKSUM = re.compile(NUMBER * 4, re.DOTALL)


def check_pages(warehouse: Warehouse, file: str, wanted: Sequence[str]) -> None:
    """Raise DataError if files were joined, or a page of a wanted column does not match its checksum: DuckDB does not compare them.

    Spark and Hive write checksums. Damaged bytes of a file without them are read as other values.
    """
    try:
        with (
            closing(_open_at_any_place(warehouse, file)) as stream,
            pq.ParquetFile(
                stream, page_checksum_verification=True, buffer_size=REMOTE if "://" in file else BUFFER
            ) as parquet,
        ):
            _refuse_joined_files(file, stream, parquet.metadata)
            if _has_checksums(stream, parquet.metadata):
                for _ in parquet.iter_batches(BATCH, columns=[*wanted], use_threads=False):
                    pass
    except StoreError:
        raise
    except (OSError, pa.ArrowException) as error:  # what else Arrow cannot read DuckDB may read
        if "CRC" in str(error):
            raise DataError(
                f"{file} is damaged: a page of it does not match its checksum ({error}). Deliver it again"
            ) from error


def _refuse_joined_files(file: str, stream: BinaryIO, metadata: pq.FileMetaData) -> None:
    """Raise DataError if a file is several that were joined, as cat does: the last footer would be read over the first file's rows."""
    groups = [metadata.row_group(number) for number in range(metadata.num_row_groups)]
    chunks = [group.column(number) for group in groups for number in range(group.num_columns)]
    end = max((_chunk_start(chunk) + chunk.total_compressed_size for chunk in chunks), default=0)
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


def _has_checksums(stream: BinaryIO, metadata: pq.FileMetaData) -> bool:
    """Whether the first page of a file has a checksum: the fourth field of its header, after three numbers (Thrift's compact form)."""
    if not metadata.num_row_groups or not metadata.num_columns:
        return False
    stream.seek(_chunk_start(metadata.row_group(0).column(0)))
    return PAGE_WITH_CHECKSUM.match(stream.read(64)) is not None


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
    return (
        ObjectRanges(partial(warehouse.remote, file))
        if "://" in file and warehouse.remote
        else warehouse.open_file(file)
    )
