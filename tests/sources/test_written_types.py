"""Types of Arrow that DuckDB reads as other ones: floats of 16 bits, and durations (arrow-rs 5625, cudf 13410, pytimetk 274)."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from nightloop.tasks.lake.ingest import land_period
from nightloop.tasks.lake.warehouse import Warehouse
from nightloop.tasks.plan.errors import DataError
from nightloop.tasks.plan.plan import Columns
from nightloop.tasks.sources.files import Files
from tests.lake.make_lake import day, lake, plan
from tests.sources.corpus import AT, parquet

ROW = {"user": ["ann"], "item": [1], "time": [AT]}


@pytest.fixture(scope="module")
def pond(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Warehouse]:
    with lake(tmp_path_factory.mktemp("written")) as warehouse:
        yield warehouse


def halves(*values: float | None) -> pa.Array:
    return pa.array(values, pa.float32()).cast(pa.float16())


def read(pond: Warehouse, folder: Path, columns: Columns, wanted: str, **files: bytes) -> list[tuple[object, ...]]:
    for name, content in files.items():
        (folder / f"{name}.parquet").write_bytes(content)
    landing = land_period(pond, Files(str(folder / "*.parquet")), plan(columns), day(0))
    text = f"SELECT {wanted} FROM logs WHERE period = 0 AND version = {landing.version} ORDER BY arrival"  # noqa: S608
    return list(pond.connection.execute(text).fetchall())


@pytest.mark.parametrize("role", ["numeric", "categorical"])
@pytest.mark.parametrize("unit", ["s", "ms", "us", "ns"])
def test_a_duration_is_not_read_without_its_unit(pond: Warehouse, tmp_path: Path, role: str, unit: str) -> None:
    columns = Columns.model_validate({"user": "user", "item": "item", "time": "time", role: ["dwell"]})
    content = parquet(**ROW, dwell=pa.array([timedelta(seconds=5)], pa.duration(unit)))
    with pytest.raises(DataError, match=rf"'dwell' holds duration\[{unit}\].*write it as a number, such as seconds"):
        read(pond, tmp_path, columns, "dwell", a=content)


def test_a_duration_that_no_plan_needs_is_no_hindrance(pond: Warehouse, tmp_path: Path) -> None:
    content = parquet(**ROW, dwell=pa.array([timedelta(seconds=5)]))
    assert read(pond, tmp_path, Columns(user="user", item="item", time="time"), '"user"', a=content) == [("ann",)]


@pytest.mark.parametrize("role", ["user", "item", "device"])
def test_ids_in_floats_of_16_bits_are_refused_where_several_are_one(pond: Warehouse, tmp_path: Path, role: str) -> None:
    columns = Columns(user="user", item="item", time="time", categorical=("device",))
    content = parquet(**{**ROW, "device": ["x"], role: halves(2049.0)})
    with pytest.raises(DataError, match=f"'{role}' holds the number 2048 as a float of 16 bits.*below 2,048 only"):
        read(pond, tmp_path, columns, "device", a=content)


def test_smaller_ids_in_floats_of_16_bits_are_read(pond: Warehouse, tmp_path: Path) -> None:
    """Beside a file of floats of 32 bits, and with numbers in floats of 16 bits."""
    columns = Columns(user="user", item="item", time="time", categorical=("device",), numeric=("price",))
    written, ids = [5.0, 2047.0, None, 0.5], ["5", "2047", None, "0.5"]
    four = {"item": [1] * 4, "time": [AT] * 4, "price": halves(*[4096.0] * 4)}
    half = parquet(**four, user=[f"a{n}" for n in range(4)], device=halves(*written))
    single = parquet(**four, user=[f"b{n}" for n in range(4)], device=pa.array(written, pa.float32()))
    assert read(pond, tmp_path, columns, "device, price", a=half, b=single) == [(id_, 4096.0) for id_ in ids] * 2


def test_a_file_whose_encoding_is_not_known_is_named(pond: Warehouse, tmp_path: Path) -> None:
    """duckdb 17114: it was "BYTE_STREAM_SPLIT encoding is only supported for FLOAT or DOUBLE data", and nothing said of which file."""
    times = pa.array([1767261600], pa.int64())
    pq.write_table(pa.table({**ROW, "time": times}), tmp_path / "a.parquet", use_dictionary=False, column_encoding={
        "user": "PLAIN", "item": "BYTE_STREAM_SPLIT", "time": "DELTA_BINARY_PACKED"})  # fmt: skip
    with pytest.raises(DataError, match=r"a\.parquet: BYTE_STREAM_SPLIT encoding .*: write it with the encodings that"):
        read(pond, tmp_path, Columns(user="user", item="item", time="time"), "item")
