"""Columns that mark rows as deleted or changed: such rows are no events (debezium 1005, delta 1501, hudi 5036, endatix 890). Nor are
earlier versions of a row (dbt-core 2871, dbt_salesforce_source 15, dlt 3190)."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import duckdb
import pytest

from nightloop.tasks.lake.ingest import land_period
from nightloop.tasks.lake.warehouse import Warehouse
from nightloop.tasks.plan.errors import DataError
from nightloop.tasks.plan.plan import Columns
from nightloop.tasks.sources.database import Database
from nightloop.tasks.sources.files import Files
from tests.lake.make_lake import day, lake, plan
from tests.sources.corpus import AT, csv, jsonl, parquet

COLUMNS = Columns(user="user", item="item", time="time")
MARKED = [
    ("Op", "I", "D"), ("Op", "I", "U"), ("op", "c", "d"), ("_op", "insert", "delete"), ("op_type", "I", "D"), ("__op", "r", "u"),
    ("_CHANGE_TYPE", "INSERT", "DELETE"), ("_change_type", "insert", "update_preimage"), ("operation", "click", "delete"),
    ("__deleted", "false", "true"), ("_fivetran_deleted", "FALSE", "TRUE"), ("is_deleted", "0", "1"), ("isDeleted", "", "yes"),
    ("deleted_at", "", "2026-01-02"), ("deleted_at", "0000-00-00 00:00:00", "1767261600"),
    ("_sdc_deleted_at", r"\N", "2026-01-02T00:00:00Z"), ("_metadata_change_type", "INSERT", "UPDATE-DELETE"),
    ("header__change_oper", "I", "U"), ("_metadata_deleted", "false", "true"), ("__hevo__marked_deleted", "false", "true"),
    ("dbt_valid_to", "9999-12-31 00:00:00", "2026-01-02 00:00:00"), ("dbt_valid_to", "", "2026-01-02"), ("dbt_is_deleted", "False", "True"),
    ("_dlt_valid_to", "", "2026-01-02"), ("__END_AT", "", "2026-01-02"), ("_fivetran_active", "true", "false"),
]  # fmt: skip


@pytest.fixture(scope="module")
def pond(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Warehouse]:
    with lake(tmp_path_factory.mktemp("marked")) as warehouse:
        yield warehouse


def write(file: Path, **columns: list[object]) -> Path:
    rows = [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]
    text = "".join(",".join(map(str, row)) + "\n" for row in (columns, *(row.values() for row in rows)))
    contents = {".csv": csv(text), ".jsonl": jsonl(*rows), ".parquet": parquet(**columns)}
    file.write_bytes(contents[file.suffix])
    return file


@pytest.mark.parametrize("ending", ["csv", "jsonl", "parquet"])
@pytest.mark.parametrize(("name", "valid", "marked"), MARKED)
def test_rows_that_are_marked_are_no_events(
    pond: Warehouse, tmp_path: Path, ending: str, name: str, valid: str, marked: str
) -> None:
    events: dict[str, list[object]] = {"user": ["ann", "bob"], "item": [1, 2], "time": [AT, AT]}
    file = write(tmp_path / f"a.{ending}", **{name: [valid, valid]}, **events)
    assert land_period(pond, Files(str(file)), plan(COLUMNS), day(0)).rows == 2
    write(file, **{name: [valid, marked]}, **events)
    with pytest.raises(
        DataError,
        match=rf"(?i)a.{ending}: the column '{name}' marks rows as deleted or changed, such as with '{marked}'",
    ):
        land_period(pond, Files(str(file)), plan(COLUMNS), day(0))
    named = COLUMNS.model_copy(update={"categorical": (name,)})
    assert land_period(pond, Files(str(file)), plan(named), day(0)).rows == 2  # the plan says what the column means


@pytest.mark.parametrize(
    ("ending", "name", "valid", "undone"),
    [
        ("csv", "event_type", "view", "remove_from_cart"),  # iglu-central 29, PredictionIO 6: the logs of REES46
        ("jsonl", "Event Name", "Product Added", "Product Removed"), ("parquet", "action", "like", "Unlike"),
        ("parquet", "Quantity", "6", "-6"), ("csv", "qty", "0", "-1.5"),  # UCI's Online Retail: a row for what was sent back
        ("jsonl", "order_status", "wc-completed", "wc-refunded"),  # woocommerce-admin 2522
    ],
)  # fmt: skip
def test_rows_that_undo_an_event_are_no_events(
    pond: Warehouse, tmp_path: Path, ending: str, name: str, valid: str, undone: str
) -> None:
    events: dict[str, list[object]] = {"user": ["ann", "bob"], "item": [1, 2], "time": [AT, AT], "label": [1, 0]}
    file = write(tmp_path / f"a.{ending}", **{name: [valid, valid]}, **events)
    assert land_period(pond, Files(str(file)), plan(COLUMNS), day(0)).rows == 2
    write(file, **{name: [valid, undone]}, **events)
    with pytest.raises(
        DataError, match=rf"a.{ending}: the column '{name}' holds '{undone}', and the plan has no label"
    ):
        land_period(pond, Files(str(file)), plan(COLUMNS), day(0))
    for named in ({"categorical": (name,)}, {"label": "label"}):  # the plan says what the rows mean
        assert land_period(pond, Files(str(file)), plan(COLUMNS.model_copy(update=named)), day(0)).rows == 2


def test_a_mark_that_one_of_several_files_has(pond: Warehouse, tmp_path: Path) -> None:
    write(tmp_path / "LOAD1.csv", user=["ann"], item=[1], time=[AT])
    write(tmp_path / "a.csv", Op=["I", "D"], user=["bob", "ann"], item=[2, 1], time=[AT, AT])
    write(tmp_path / "b.csv", user=["cat"], item=[3], time=[AT], is_deleted=[0])
    write(tmp_path / "c.csv", user=["dan"], item=[4], time=[AT])
    with pytest.raises(DataError, match=r"a.csv: the column 'Op' marks rows"):
        land_period(pond, Files(f"{tmp_path}/*.csv"), plan(COLUMNS), day(0))


@pytest.mark.parametrize("ending", ["jsonl", "parquet"])
def test_an_object_of_that_name_is_no_mark(pond: Warehouse, tmp_path: Path, ending: str) -> None:
    file = write(tmp_path / f"a.{ending}", op=[{"d": 1}, {"d": 2}], user=["ann", "bob"], item=[1, 2], time=[AT, AT])
    assert land_period(pond, Files(str(file)), plan(COLUMNS), day(0)).rows == 2


def test_rows_of_a_table_that_are_marked(pond: Warehouse, tmp_path: Path) -> None:
    with duckdb.connect(tmp_path / "shop.duckdb") as shop:
        shop.execute('CREATE TABLE plays ("user" TEXT, item INT, "time" TIMESTAMP, deleted BOOLEAN)')
        shop.execute(
            "INSERT INTO plays VALUES ('ann', 1, '2026-01-01 10:00:00', false), ('bob', 2, '2026-01-01 10:00:00', true)"
        )
    with pytest.raises(DataError, match=r"table plays: the column 'deleted' marks rows .* such as with 'true'"):
        land_period(pond, Database("duckdb", str(tmp_path / "shop.duckdb"), "plays"), plan(COLUMNS), day(0))
