"""Page checksums on S3: a damaged page is refused as on disk, with a few requests, and a connection that breaks is a fault of the store."""

from __future__ import annotations

from contextlib import suppress
from io import BytesIO
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from nightloop.tasks.formats.page_checksums import ObjectRanges, _chunk_start, _chunks, _damaged_column, check_pages
from nightloop.tasks.formats.page_headers import page_checksums
from nightloop.tasks.lake.ingest import land_period
from nightloop.tasks.lake.warehouse import Warehouse
from nightloop.tasks.plan.plan import Columns
from nightloop.tasks.plan.settings import Settings
from nightloop.tasks.sources.files import Files
from tests.lake.make_lake import day, plan
from tests.s3_servers import Server
from tests.sources.corpus import AT

COLUMNS, SIZE = Columns(user="user", item="item", time="time"), 1000


@pytest.mark.parametrize("checksums", [True, False])
def test_a_page_on_s3_that_does_not_match_its_checksum(moto: Server, tmp_path: Path, checksums: bool) -> None:
    """DuckDB compares no checksums, and S3 keeps a file as it was damaged before."""
    bucket, sink = moto.bucket(), BytesIO()
    table = pa.table({"user": ["ann"] * SIZE, "item": [*range(SIZE)], "time": [AT] * SIZE})
    pq.write_table(table, sink, write_page_checksum=checksums, use_dictionary=False, compression="none")
    sound = sink.getvalue()
    damaged = bytearray(sound)
    damaged[pq.read_metadata(BytesIO(sound)).row_group(0).column(1).data_page_offset + 4000] ^= 1
    files = {"sound": sound, "damaged": bytes(damaged), "joined": sound + sound}
    for name, data in files.items():
        moto.client().put_object(Bucket=bucket.removeprefix("s3://"), Key=f"in/{name}.parquet", Body=data)
    with Warehouse.open(moto.settings("", tmp_path), "pond", moto.credentials) as warehouse:
        for name in files:
            source = Files(f"{bucket}/in/{name}.parquet")
            if name == "joined" or (name == "damaged" and checksums):
                said = (
                    "several Parquet files joined" if name == "joined" else "damaged.parquet is damaged: a page of it"
                )
                with pytest.raises(ValueError, match=said):
                    land_period(warehouse, source, plan(COLUMNS), day(0))
            else:  # without checksums nothing shows the damage
                assert land_period(warehouse, source, plan(COLUMNS), day(0)).rows == SIZE


@pytest.mark.parametrize("version", ["1.0", "2.0"])
@pytest.mark.parametrize("packed", ["none", "snappy", "zstd"])
def test_every_byte_of_every_page_is_compared(version: str, packed: str) -> None:
    """Pages of dictionaries, of lists and of several groups of rows, however they are packed."""
    sink, size = BytesIO(), 3000
    tags = pa.array([["a", "b"][: n % 3] or None for n in range(size)])
    table = pa.table(
        {"user": [f"u{n % 70}" for n in range(size)], "tags": tags, "time": pa.array(range(size), pa.float64())}
    )
    pq.write_table(
        table, sink, write_page_checksum=True, compression=packed, data_page_version=version, row_group_size=2000,
        data_page_size=500, use_dictionary=["user", "tags.list.element"],
    )  # fmt: skip
    data, metadata = sink.getvalue(), pq.read_metadata(sink)
    chunks = [chunk for chunk in _chunks(metadata) if chunk.path_in_schema != "user"]
    found = [[*page_checksums(BytesIO(data), _chunk_start(c), c.total_compressed_size, 300)] for c in chunks]
    assert len(chunks) == 4 and all(said == counted for pages in found for said, counted in pages) and len(found[0]) > 1
    assert _damaged_column(BytesIO(data), metadata, ["user", "tags", "time"], 300) == ""
    for part in range(1, 40):  # a byte of a header makes it no header, or the checksum another one
        for chunk in chunks:
            bad = bytearray(data)
            bad[_chunk_start(chunk) + chunk.total_compressed_size * part // 40] ^= 16
            with suppress(EOFError):
                path = _damaged_column(BytesIO(bad), metadata, ["user", "tags", "time"], 300)
                assert path == chunk.path_in_schema or _same_values(bad, table)


def _same_values(data: bytes, table: pa.Table) -> bool:
    """Whether a file has these values, though a byte of a header is another one: one of its statistics, for example."""
    try:
        return bool(pq.read_table(BytesIO(data), page_checksum_verification=True).equals(table))
    except (OSError, pa.ArrowException):
        return True  # nobody reads it


def test_pages_are_not_unpacked(tmp_path: Path) -> None:
    """A text of 50 kB in a dictionary, which 4,000 rows name: 200 MB in a file of 30 kB."""
    index = pa.array([0] * 4000, pa.int32())
    user = pa.DictionaryArray.from_arrays(index, pa.array(["a" * 50_000]))
    table = pa.table({"user": user, "item": index, "time": [AT] * 4000})
    pq.write_table(table, tmp_path / "a.parquet", write_page_checksum=True, compression="zstd", store_schema=False)
    before = pa.default_memory_pool().max_memory()
    with Warehouse.open(Settings(home=tmp_path), "pond") as warehouse:
        check_pages(warehouse, str(tmp_path / "a.parquet"), ["user", "item", "time"])
    assert pa.default_memory_pool().max_memory() - before < 20_000_000


def test_bytes_that_are_no_pages_end() -> None:
    for bad in (
        b"",
        b"\x00",
        b"\x15",
        b"\x19\xf5" + b"\xff" * 8 + b"\x01",
        b"\x1c" * 100,
        b"\x18\xff\xff\xff\xff\x0f",
        b"\x1d" * 9,
    ):
        with pytest.raises(EOFError):
            [*page_checksums(BytesIO(bad), 0, max(len(bad), 1), 7)]


def test_an_object_is_read_at_any_place() -> None:
    data = bytes(range(256))

    class Part(BytesIO):
        whole = len(data)

        @property
        def raw(self) -> Part:
            return self

    ranges = ObjectRanges(lambda span: Part(data[span[0] : sum(span)]))
    assert ranges.read(3) == data[:3] and ranges.tell() == 3
    assert ranges.seek(-4, 2) == 252 and ranges.read(100) == data[252:] and ranges.read(1) == b""
    assert ranges.seek(10) == 10 and ranges.seek(2, 1) == 12 and ranges.read(2) == data[12:14]
