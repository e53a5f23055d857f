"""Page checksums on S3: a damaged page is refused as on disk, with a few requests, and a connection that breaks is a fault of the store."""

from __future__ import annotations

from io import BytesIO
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from nightloop.tasks.formats.page_checksums import ObjectRanges
from nightloop.tasks.lake.ingest import land_period
from nightloop.tasks.lake.warehouse import Warehouse
from nightloop.tasks.plan.plan import Columns
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
