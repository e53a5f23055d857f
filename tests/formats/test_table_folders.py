"""Table folders: Parquet files of a Delta Lake, Hudi, Iceberg or DuckLake table are refused, and ordinary folders are not."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from nightloop.tasks.lake.ingest import land_period
from nightloop.tasks.lake.warehouse import Warehouse
from nightloop.tasks.plan.plan import Columns
from nightloop.tasks.sources.files import Files
from tests.lake.make_lake import day, lake, plan
from tests.s3_servers import Server
from tests.sources.corpus import AT, parquet

PLAN = plan(Columns(user="user", item="item", time="time"))
ROWS = parquet(user=["ann"], item=[1], time=[AT])
UUID = "0190f5a1-7c1e-7d2a-9c55-0123456789ab"
DELTA = {
    "_delta_log/00000000000000000000.json": b"{}",
    "part-0.snappy.parquet": ROWS,
    "day=1/part-1.snappy.parquet": ROWS,
}
HUDI = {".hoodie/hoodie.properties": b"", "day=1/a_0-1-0_20260101.parquet": ROWS}
ICEBERG = {f"metadata/00001-{UUID}.metadata.json": b"{}", "data/00000-0-a.parquet": ROWS, "data/day=1/b.parquet": ROWS}
HADOOP = {"metadata/v3.gz.metadata.json": b"{}", "data/00000-0-a.parquet": ROWS}
PAIMON = {"snapshot/snapshot-1": b"{}", "schema/schema-0": b"{}", "bucket-0/data-1.parquet": ROWS}
HIVE = {"day=1/base_0000002_v0000009/000000_0.parquet": ROWS, "day=1/delta_0000001_0000001_0000/000000_0.parquet": ROWS}
DUCKLAKE = {f"day=1/ducklake-{UUID}.parquet": ROWS}


@pytest.fixture(scope="module")
def pond(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Warehouse]:
    with lake(tmp_path_factory.mktemp("tables")) as warehouse:
        yield warehouse


def deliver(folder: Path, files: dict[str, bytes]) -> Path:
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    return folder


@pytest.mark.parametrize(
    ("files", "pattern", "kind"),
    [
        (DELTA, "t/*.parquet", "Delta Lake"), (DELTA, "t/**", "Delta Lake"), (DELTA, "t/day=1/*", "Delta Lake"),
        (DELTA, "t/part-0.snappy.parquet", "Delta Lake"), (DELTA, "*/*.parquet", "Delta Lake"),
        (HUDI, "t/**/*.parquet", "Hudi"), (HUDI, "t/day=1/*.parquet", "Hudi"),
        (ICEBERG, "t/data/*.parquet", "Iceberg"), (ICEBERG, "t/data/**", "Iceberg"), (ICEBERG, "t/**/*.parquet", "Iceberg"),
        (PAIMON, "t/**/*.parquet", "Paimon"), (PAIMON, "t/bucket-0/*", "Paimon"),
        (HIVE, "t/**/*.parquet", "Hive"), (HIVE, "t/day=1/base_0000002_v0000009/*", "Hive"), (HIVE, "t/*/*/*0.parquet", "Hive"),
        (HADOOP, "t/data/*", "Iceberg"), (DUCKLAKE, "t/**/*.parquet", "DuckLake"),
    ],
)  # fmt: skip
def test_files_of_a_table_are_refused(
    pond: Warehouse, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, files: dict[str, bytes], pattern: str, kind: str
) -> None:
    """Rows that were deleted or replaced came back without a word (ClickHouse 113360 for Paimon)."""
    deliver(tmp_path / "t", files)
    monkeypatch.chdir(tmp_path)
    for path in (f"{tmp_path}/{pattern}", pattern):
        with pytest.raises(ValueError, match=rf"belongs to the {kind} table '.*Write the table as plain Parquet files"):
            land_period(pond, Files(path), PLAN, day(0))


def test_folders_that_only_look_like_tables_are_read(pond: Warehouse, tmp_path: Path) -> None:
    plain = {
        "data/a.parquet": ROWS, "snapshot/a.txt": b"", "base_1/delta_2026/x": b"",
        "metadata/notes.metadata.json": b"{}", "metadata/v1.json": b"{}", "metadata/x.parquet": ROWS,
        "delta_log/00000000000000000000.json": b"{}", "ducklake-export.parquet": ROWS,
    }  # fmt: skip
    deliver(tmp_path / "plain", plain)
    assert land_period(pond, Files(f"{tmp_path}/plain/**/*.parquet"), PLAN, day(0)).rows == 3
    deliver(tmp_path / "t", {**DELTA, "notes.csv": f"user,item,time\nann,1,{AT}\n".encode()})
    assert land_period(pond, Files(f"{tmp_path}/t/*.csv"), PLAN, day(0)).rows == 1  # no file of the table
    deliver(tmp_path / "beside", {"x.parquet": ROWS})
    deliver(tmp_path / "beside" / "t", DELTA)
    assert land_period(pond, Files(f"{tmp_path}/beside/*.parquet"), PLAN, day(0)).rows == 1


@pytest.mark.parametrize("ending", ["parquet", "csv"])
def test_a_file_that_a_stream_of_spark_did_not_finish_is_refused(pond: Warehouse, tmp_path: Path, ending: str) -> None:
    """hyperdrive 132, delta 193: Spark reads the files that the log of a stream names, and others read all that lie there."""
    content = ROWS if ending == "parquet" else f"user,item,time\nann,1,{AT}\n".encode()
    log = 'v1\n{"path":"file:///out/day=1/part-0%20a.ENDING","size":9,"action":"add"}\n'.replace("ENDING", ending)
    files = {"_spark_metadata/0": log.encode(), "_spark_metadata/9.compact": log.replace("day=1/part-0%20a", "part-1").encode(),
             "_spark_metadata/.0.crc": b"", f"day=1/part-0 a.{ending}": content, f"part-1.{ending}": content}  # fmt: skip
    deliver(tmp_path / "out", files)
    assert land_period(pond, Files(f"{tmp_path}/out/**/*.{ending}"), PLAN, day(0)).rows == 2
    deliver(tmp_path / "out", {f"day=1/part-2.{ending}": content})
    for pattern in (f"out/**/*.{ending}", f"out/day=1/*.{ending}", f"out/day=1/part-2.{ending}"):
        with pytest.raises(ValueError, match=rf"part-2.{ending}' is of a write of Spark that failed"):
            land_period(pond, Files(f"{tmp_path}/{pattern}"), PLAN, day(0))
    assert land_period(pond, Files(f"{tmp_path}/out/part-1.{ending}"), PLAN, day(0)).rows == 1


def test_a_file_that_databricks_replaced_or_did_not_commit_is_refused(pond: Warehouse, tmp_path: Path) -> None:
    """Its documentation: other readers, and its own with * in the path, take files of writes that failed or were replaced."""
    old, new, other = (f"part-00000-tid-{writer}-ab-1.c000.snappy.parquet" for writer in (11, 22, 33))
    notes = {
        "_started_11": b"",
        "_started_22": b"",
        "_committed_11": f'{{"added":["{old}"],"removed":[]}}'.encode(),
        "_SUCCESS": b"",
    }
    deliver(tmp_path / "out", {old: ROWS, **notes})
    assert land_period(pond, Files(f"{tmp_path}/out/*.parquet"), PLAN, day(0)).rows == 1
    deliver(tmp_path / "out", {new: ROWS})
    refused = rf"{new}' is of a write of Databricks that failed, is not finished or was replaced"
    with pytest.raises(ValueError, match=refused):
        land_period(pond, Files(f"{tmp_path}/out/*.parquet"), PLAN, day(0))
    deliver(tmp_path / "out", {"_committed_22": f'{{"added":["{new}"],"removed":["{old}"]}}'.encode()})
    with pytest.raises(ValueError, match=refused.replace(new, old)):
        land_period(pond, Files(f"{tmp_path}/out/*.parquet"), PLAN, day(0))
    assert land_period(pond, Files(f"{tmp_path}/out/{new}"), PLAN, day(0)).rows == 1
    deliver(tmp_path / "copied", {old: ROWS, other: ROWS})  # without the notes
    assert land_period(pond, Files(f"{tmp_path}/copied/*.parquet"), PLAN, day(0)).rows == 2


def test_files_of_a_table_on_s3_are_refused(tmp_path: Path, moto: Server) -> None:
    bucket, client = moto.bucket(), moto.client()
    for folder, files in {
        "a/delta": DELTA,
        "a/b/ice[1]": ICEBERG,
        "hudi": HUDI,
        "plain/metadata": {"a.parquet": ROWS},
    }.items():
        for name, content in files.items():
            client.put_object(Bucket=bucket.removeprefix("s3://"), Key=f"{folder}/{name}", Body=content)
    with Warehouse.open(moto.settings(f"{bucket}/lake", tmp_path), "pond", moto.credentials) as warehouse:
        for pattern, kind in {
            "a/delta/*.parquet": "Delta Lake", "a/**/*.parquet": "Iceberg", "a/b/*/data/day=1/*.parquet": "Iceberg",
            "hudi/day=1/*.parquet": "Hudi",
        }.items():  # fmt: skip
            with pytest.raises(ValueError, match=f"belongs to the {kind} table 's3://test-"):
                land_period(warehouse, Files(f"{bucket}/{pattern}"), PLAN, day(0))
        assert land_period(warehouse, Files(f"{bucket}/plain/**/*.parquet"), PLAN, day(0)).rows == 1
        log = b'v1\n{"path":"s3a://x/a.parquet","action":"add"}\n'
        client.put_object(Bucket=bucket.removeprefix("s3://"), Key="plain/_spark_metadata/0", Body=log)
        assert land_period(warehouse, Files(f"{bucket}/plain/**/*.parquet"), PLAN, day(0)).rows == 1
        client.put_object(Bucket=bucket.removeprefix("s3://"), Key="plain/metadata/b.parquet", Body=ROWS)
        with pytest.raises(ValueError, match=r"b.parquet' is of a write of Spark that failed"):
            land_period(warehouse, Files(f"{bucket}/plain/**/*.parquet"), PLAN, day(0))
