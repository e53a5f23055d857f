"""Landing: versions, order, duplicates, rows that cannot be typed, and what is left after a failure."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

import pyarrow as pa
import pytest

from nightloop.tasks.data.clean_rows import clean_digest, clean_ids
from nightloop.tasks.lake.ingest import rules_digest
from nightloop.tasks.lake.landing import land
from nightloop.tasks.lake.periods import Period, period
from nightloop.tasks.lake.versions import compact_lake, expire_versions, idle_versions, replay_version
from nightloop.tasks.lake.warehouse import Warehouse
from nightloop.tasks.plan.errors import StoreError
from nightloop.tasks.plan.plan import Columns, Counts
from tests.lake.make_lake import DAY, NAMES, SIMPLE, START, day, lake, plan, rows


@pytest.fixture(scope="module")
def pond(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Warehouse]:
    """One lake for many tests, each with a period of its own: opening one takes longer than what most of them do."""
    with lake(tmp_path_factory.mktemp("pond")) as warehouse:
        yield warehouse


@pytest.fixture
def fresh(pond: Warehouse) -> Period:
    """A period that nothing landed in."""
    return day(max(pond.latest(), default=-1) + 1)


def reasons(warehouse: Warehouse, period: int | None = None) -> set[tuple[int, int, int, str]]:
    table = warehouse.connection.execute("SELECT period, version, arrival, reason FROM quarantine").to_arrow_table()
    return {tuple(row.values()) for row in table.to_pylist() if period in (None, row["period"])}


def ask(warehouse: Warehouse, what: str, period: Period) -> list[tuple[object, ...]]:
    return warehouse.connection.execute(f"SELECT {what} WHERE period = $1", [period.index]).fetchall()


def test_the_same_rows_in_another_order_are_the_same_version(tmp_path: Path) -> None:
    with lake(tmp_path) as warehouse:
        first = land(warehouse, day(0), rows(*SIMPLE), NAMES)
        again = land(warehouse, day(0), [*rows(*SIMPLE[2:]), *rows(*SIMPLE[:2])], NAMES)
        assert (first.version, first.rows, first.fresh) == (1, 4, True)
        assert (again.version, again.digest, again.fresh) == (1, first.digest, False)
        assert warehouse.latest() == {0: 1}


def test_a_small_lake_is_read_by_one_thread_and_a_new_one_or_a_larger_one_by_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A night of a small pipeline took a fifth longer on two threads, which waited for each other in each statement."""

    def threads(setting: int = 0) -> int:
        with lake(tmp_path, threads=setting) as warehouse:
            return int(warehouse.query("catalog/limits").column("threads")[0].as_py())

    every = threads()
    with lake(tmp_path) as warehouse:
        land(warehouse, day(0), rows(*SIMPLE), NAMES)
    assert every == len(os.sched_getaffinity(0)) and threads() == 1 and threads(3) == 3
    monkeypatch.setattr("nightloop.tasks.lake.warehouse.FEW", 4)
    assert threads() == every


def test_the_quarantine_of_a_new_lake_is_empty_and_has_statistics(tmp_path: Path) -> None:
    """Without them each statement that filtered it took sixteen milliseconds, and a night of a clean pipeline asks it often."""
    with lake(tmp_path) as warehouse:
        assert reasons(warehouse) == set()
    with sqlite3.connect(tmp_path / "lake" / "pond.sqlite") as catalog:
        known = "SELECT count(*) FROM ducklake_table_stats JOIN ducklake_table USING (table_id) WHERE table_name = 'quarantine'"
        assert catalog.execute(known).fetchone() == (1,)


def test_rows_that_were_not_kept_are_not_recorded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As when a proxy answers that an upload is done: the same delivery would be taken for one that has landed."""
    ask, many = Warehouse.query, rows(*((f"u{n}", 1, n, 1, "web", 1.0) for n in range(2_000)))

    def lose(self: Warehouse, name: str, params: Mapping[str, object] | None = None) -> pa.Table:
        answer = ask(self, name, params)
        if name == "ingest/insert_landed":
            (written,) = Path(self.place).rglob("ducklake-*.parquet")
            written.unlink()
        return answer

    with lake(tmp_path) as warehouse:
        with (
            monkeypatch.context() as patch,
            pytest.raises(StoreError, match="cannot be read back, so none of them was"),
        ):
            patch.setattr(Warehouse, "query", lose)
            land(warehouse, day(0), many, NAMES)
        assert warehouse.latest() == {}
        landed = land(warehouse, day(0), many, NAMES)
        assert (landed.version, landed.rows, landed.fresh) == (1, 2_000, True)
        assert clean_digest(warehouse, 0, 1)[1:] == (2_000, 0)


@pytest.mark.parametrize(
    "lost", ["ingest/insert_duplicates", "ingest/put_aside", "maintain/merge_files", "maintain/expire_quarantine"]
)
def test_no_write_that_was_not_kept_is_recorded(lost: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The catalog named files that were lost, so that every later night failed; merged files replaced their sources."""
    ask, keeps = Warehouse.query, [False]

    def query(self: Warehouse, name: str, params: Mapping[str, object] | None = None) -> pa.Table:
        before = {*Path(self.place).rglob("*.parquet")} if name == lost else set()
        answer = ask(self, name, params)
        for written in {*Path(self.place).rglob("*.parquet")} - before if name == lost and not keeps[0] else ():
            written.unlink()
        return answer

    def attempt(step: Callable[[], object]) -> bool:
        try:
            step()
        except StoreError as error:
            assert "cannot be read back, so none of them was recorded" in str(error) and not keeps[0]
            keeps[0] = True
            step()
            keeps[0] = False
            return True
        return False

    twice = rows(*((f"u{n % 50}", 1, n % 50, 1, "web", 1.0) for n in range(100)))
    aside = pa.table({"arrival": pa.array(range(40), pa.int64()), "reason": ["wrong"] * 40})
    monkeypatch.setattr(Warehouse, "query", query)
    failed = []
    with lake(tmp_path) as warehouse:
        for rules in ("a", "b", "c"):
            failed.append(attempt(partial(land, warehouse, day(0), twice, NAMES, rules)))
            failed.append(attempt(partial(warehouse.quarantine, 0, warehouse.latest()[0], aside)))
        failed.append(attempt(partial(compact_lake, warehouse, datetime.now(UTC) - timedelta(days=1))))
        failed.append(attempt(partial(expire_versions, warehouse, {}, [(0, 1)])))
        assert any(failed)
        assert warehouse.latest() == {0: 3} and len(reasons(warehouse, 0)) == 2 * 90
        assert clean_digest(warehouse, 0, 3)[1:] == (100, 90)


def test_late_data_is_a_new_version_and_the_old_one_stays(tmp_path: Path) -> None:
    with lake(tmp_path) as warehouse:
        land(warehouse, day(0), rows(*SIMPLE[:3]), NAMES)
        before = clean_digest(warehouse, 0, 1)
        late = land(warehouse, day(0), rows(*SIMPLE), NAMES)
        assert (late.version, late.fresh) == (2, True)
        assert clean_digest(warehouse, 0, 1) == before
        assert clean_digest(warehouse, 0, 2)[1:] == (4, 0)
        gone = land(warehouse, day(0), rows(*SIMPLE[:3]), NAMES)  # back as it was: newest is newest
        assert (gone.version, gone.fresh) == (3, True)
        newest = warehouse.connection.execute("SELECT DISTINCT version FROM newest_logs").fetchall()
        assert newest == [(3,)]


def test_a_repeated_row_is_not_lost_in_the_digest(tmp_path: Path) -> None:
    """Sums, not exclusive or: twice the same row is not the same as none."""
    with lake(tmp_path) as warehouse:
        once = land(warehouse, day(0), rows(*SIMPLE), NAMES)
        thrice = land(warehouse, day(0), rows(*SIMPLE, SIMPLE[0], SIMPLE[0]), NAMES)
        assert once.digest != thrice.digest
        assert {r[2:] for r in reasons(warehouse)} == {(4, "duplicate"), (5, "duplicate")}


def test_changed_rules_are_a_new_version(tmp_path: Path) -> None:
    with lake(tmp_path) as warehouse:
        assert land(warehouse, day(0), rows(*SIMPLE), NAMES, "a").version == 1
        assert land(warehouse, day(0), rows(*SIMPLE), NAMES, "a").fresh is False
        assert land(warehouse, day(0), rows(*SIMPLE), NAMES, "b").version == 2


def test_the_first_of_a_key_stays(tmp_path: Path) -> None:
    keyed = NAMES.model_copy(update={"key": ("u", "device")})
    with lake(tmp_path) as warehouse:
        land(warehouse, day(0), rows(*SIMPLE), keyed)  # ann on the phone: at 5 s and, later in the file, at 3 s
        assert reasons(warehouse) == {(0, 1, 0, "duplicate")}
        land(warehouse, day(1), rows(*SIMPLE), NAMES.model_copy(update={"key": ("y",)}))
        assert {r for r in reasons(warehouse) if r[0]} == {(1, 1, 0, "duplicate"), (1, 1, 3, "duplicate")}


def test_a_key_that_is_no_role_is_kept_as_a_column(tmp_path: Path) -> None:
    batch = rows(*SIMPLE)[0].append_column("event", pa.array(["e1", "e2", "e2", None]))
    with lake(tmp_path) as warehouse:
        land(warehouse, day(0), [batch], NAMES.model_copy(update={"key": ("event",)}))
        assert reasons(warehouse) == {(0, 1, 2, "duplicate")}
        assert warehouse.connection.execute("SELECT event FROM logs ORDER BY arrival").fetchall() == [
            ("e1",),
            ("e2",),
            (None,),
        ]


@pytest.mark.parametrize(
    ("name", "value", "reason"),
    [
        ("u", None, "null_user"), ("i", None, "null_item"), ("t", None, "null_time"), ("y", None, "null_label"),
        ("t", "yesterday", "unreadable_time"), ("t", "2026-02-30", "unreadable_time"),
        ("y", "maybe", "unreadable_number"), ("price", "cheap", "unreadable_number"),
        ("price", "inf", "unreadable_number"),
        ("t", "9" * 30, "unreadable_time"), ("price", "1e999", "unreadable_number"),
    ],
)  # fmt: skip
def test_a_row_that_cannot_be_typed_is_put_aside_with_its_text(
    pond: Warehouse, fresh: Period, name: str, value: object, reason: str
) -> None:
    good = {"u": "ann", "i": "7", "t": "2026-01-01 10:00", "y": "1", "device": "web", "price": "1.5"}
    bad = {**good, name: value, "device": "'; DROP TABLE landed; --"}
    assert land(pond, fresh, [pa.RecordBatch.from_pylist([good, bad], _texts())], NAMES).rows == 2
    assert reasons(pond, fresh.index) == {(fresh.index, 1, 1, reason)}
    assert clean_digest(pond, fresh.index, 1)[1:] == (2, 1)
    ((raw,),) = ask(pond, "raw FROM quarantine", fresh)
    assert value is None or str(value) in str(raw)
    assert "DROP TABLE" in str(raw)


def _texts() -> pa.Schema:
    return pa.schema([(name, pa.string()) for name in ("u", "i", "t", "y", "device", "price")])


@pytest.mark.parametrize(
    ("time", "unit", "micros"),
    [
        ("2026-01-01", "auto", START), ("2026-01-01T02:00:00+02:00", "auto", START), ("1767225600", "auto", START),
        ("1767225600000", "auto", START), (1767225600000000, "auto", START), (1767225600000000000, "auto", START),
        (1767225600.25, "s", START + 250_000), ("1767225600.25", "auto", START + 250_000),
        ("2026-01-01 00:00:00.5Z", "text", START + 500_000),
        (1767225600, "ms", 1_767_225_600_000), (-1, "s", -1_000_000), (1767225600000000001, "ns", START),
    ],
)  # fmt: skip
def test_times(pond: Warehouse, fresh: Period, time: object, unit: str, micros: int) -> None:
    columns = Columns(user="u", item="i", time="t", time_unit=unit)  # type: ignore[arg-type]
    land(pond, fresh, [pa.RecordBatch.from_pylist([{"u": 1, "i": 2, "t": time}])], columns)
    assert ask(pond, "epoch_us(time) FROM logs", fresh) == [(micros,)]


@pytest.mark.parametrize(
    "kind", [pa.int64(), pa.float64(), pa.string(), pa.large_string(), pa.dictionary(pa.int32(), pa.string())]
)
def test_an_id_is_the_same_in_any_type(pond: Warehouse, fresh: Period, kind: pa.DataType) -> None:
    values = pa.array([7, 12], pa.int64()).cast(
        pa.float64() if kind == pa.float64() else pa.string() if kind != pa.int64() else kind
    )
    batch = pa.RecordBatch.from_pydict({"u": values.cast(kind), "i": values.cast(kind), "t": pa.array([START, START])})
    columns = Columns(user="u", item="i", time="t")
    land(pond, fresh, [batch], columns)
    (ids,) = clean_ids(pond, plan(columns), fresh.index, 1)
    assert ids.column("user").to_pylist() == ["7", "12"]


def test_hostile_names_are_only_names(tmp_path: Path) -> None:
    hostile = ('a"; DROP TABLE landed; --', "../../etc/passwd", "it's", "$period", "{period}", "ключ")
    columns = Columns(user="u'", item='"i"', time="t;", categorical=hostile[:3], numeric=hostile[3:])
    values: dict[str, object] = {"u'": "'; DROP TABLE landed; --", '"i"': "x" * 1_000_000, "t;": "2026-01-01"}
    values |= dict.fromkeys(hostile[:3], "../..") | dict.fromkeys(hostile[3:], "1.5")
    with lake(tmp_path) as warehouse:
        land(warehouse, day(0), [pa.RecordBatch.from_pylist([values])], columns)
        (row,) = warehouse.connection.execute("FROM logs").to_arrow_table().to_pylist()
        assert [row[name] for name in hostile] == ["../.."] * 3 + [1.5] * 3
        assert row["user"] == "'; DROP TABLE landed; --" and len(row["item"]) == 1_000_000


@pytest.mark.parametrize("name", ["period", "Version", "arrival", "_raw", "x" * 1_000_000, "a\nb", "a\0b"])
def test_names_that_cannot_be(pond: Warehouse, fresh: Period, name: str) -> None:
    batch = pa.RecordBatch.from_pylist([{"u": 1, "i": 2, "t": "2026-01-01", name: 1}])
    with pytest.raises(ValueError, match="column") as caught:
        land(pond, fresh, [batch], Columns(user="u", item="i", time="t", categorical=(name,)))
    assert len(str(caught.value)) < 500


def test_two_names_that_differ_in_case_alone(pond: Warehouse, fresh: Period) -> None:
    with pytest.raises(ValueError, match="upper and lower case"):
        land(pond, fresh, rows(*SIMPLE), NAMES.model_copy(update={"categorical": ("device", "Device")}))


def test_a_missing_column_names_those_there_are(pond: Warehouse, fresh: Period) -> None:
    with pytest.raises(ValueError, match="no column 'who'; it has 'u', 'i'"):
        land(pond, fresh, rows(*SIMPLE), NAMES.model_copy(update={"user": "who"}))


def test_a_source_that_fails_half_way_leaves_nothing(tmp_path: Path) -> None:
    def broken() -> object:
        yield from rows(*SIMPLE)
        raise ConnectionError("the upstream went away")

    with lake(tmp_path) as warehouse:
        with pytest.raises(ConnectionError, match="the upstream went away"):
            land(warehouse, day(0), broken(), NAMES)  # type: ignore[arg-type]
        assert warehouse.latest() == {}
        assert warehouse.connection.execute("SELECT count(*) FROM landed").fetchall() == [(0,)]
        assert list(warehouse.scratch.iterdir()) == []
        assert land(warehouse, day(0), rows(*SIMPLE), NAMES).version == 1


def test_types_that_change_half_way(pond: Warehouse, fresh: Period) -> None:
    with pytest.raises(ValueError, match="changed the types"):
        land(pond, fresh, [*rows(*SIMPLE), *rows(("a", 1, 1, 1, "x", "cheap"))], NAMES)


def test_nested_values_are_refused(pond: Warehouse, fresh: Period) -> None:
    with pytest.raises(ValueError, match=r"column .device. does not hold one value"):
        land(pond, fresh, rows(("a", 1, 1, 1, ["x"], 1.0)), NAMES)


def test_a_period_without_rows_and_one_with_one(tmp_path: Path) -> None:
    with lake(tmp_path) as warehouse:
        assert land(warehouse, day(0), [], NAMES).rows == 0
        assert land(warehouse, day(0), rows(*SIMPLE)[0:1], NAMES).version == 2
        assert land(warehouse, day(1), [rows(*SIMPLE)[0].slice(0, 0)], NAMES).rows == 0
        assert clean_digest(warehouse, 1, 1)[1:] == (0, 0)


def test_columns_may_be_added_but_not_change_their_kind(tmp_path: Path) -> None:
    fewer = NAMES.model_copy(update={"categorical": (), "numeric": ()})
    with lake(tmp_path) as warehouse:
        land(warehouse, day(0), rows(*SIMPLE), fewer)
        before = clean_digest(warehouse, 0, 1)
        land(warehouse, day(1), rows(*SIMPLE), NAMES)
        assert clean_digest(warehouse, 0, 1) == before
        assert len(warehouse.connection.execute("SELECT device FROM newest_logs").fetchall()) == 8
        with pytest.raises(ValueError, match="'price' is DOUBLE in this pipeline's lake and VARCHAR in the plan"):
            land(warehouse, day(2), rows(*SIMPLE), NAMES.model_copy(update={"categorical": ("price",), "numeric": ()}))
        assert warehouse.latest() == {0: 1, 1: 1}


def test_equal_counts_are_cut_in_order_of_time_user_and_item(tmp_path: Path) -> None:
    columns, rule = Columns(user="u", item="i", time="t"), Counts(rows=2)
    history = [pa.RecordBatch.from_pylist([{"u": u, "i": i, "t": t} for u, i, t in
               [(10, 1, 5), (9, 10, 5), (9, 9, 5), (1, 1, 9), (3, 3, 1)]])]  # fmt: skip

    def cut(warehouse: Warehouse, index: int) -> list[tuple[str, str]]:
        land(warehouse, period(rule, index), history, columns)
        table = pa.concat_tables(clean_ids(warehouse, plan(columns, rule), index, 1))
        return list(zip(table.column("user").to_pylist(), table.column("item").to_pylist(), strict=True))

    with lake(tmp_path) as warehouse:
        assert cut(warehouse, 0) == [("3", "3"), ("9", "9")]
        assert cut(warehouse, 1) == [("9", "10"), ("10", "1")]
        with pytest.raises(LookupError, match="000002 is not complete: the source has 1 of its 2 rows"):
            cut(warehouse, 2)
        assert warehouse.latest() == {0: 1, 1: 1}


def test_rows_that_come_late_stop_a_period_of_equal_counts(tmp_path: Path) -> None:
    """They move all that follow: periods would share rows, and a night be scored on what another one learned."""
    columns, rule = Columns(user="u", item="i", time="t"), Counts(rows=4)

    def landed(warehouse: Warehouse, index: int, times: list[int], names: Columns = columns, told: str = "") -> int:
        batch = pa.RecordBatch.from_pylist([{"u": time, "i": time, "t": time} for time in times])
        return land(warehouse, period(rule, index), [batch], names, told).version

    whole = list(range(100, 140))
    with lake(tmp_path) as warehouse:
        for index in range(3):
            assert landed(warehouse, index, whole[: 4 * index + 6]) == 1
        for changed in ([101.5, *whole], [106.5, *whole], [whole[0], *whole[2:]]):
            given = sorted(int(10 * time) for time in changed)
            with pytest.raises(ValueError, match="are no longer those that landed"):
                landed(warehouse, 3, given)
        with pytest.raises(ValueError, match=r"the rows of period 000001 are no longer.*--start 000001 --what all"):
            landed(warehouse, 3, sorted([*whole, 105]))
        assert warehouse.latest() == {0: 1, 1: 1, 2: 1}
        late = sorted([*whole, 105])
        assert [landed(warehouse, index, late) for index in range(1, 4)] == [2, 2, 1], "collected again from there"
        assert landed(warehouse, 4, late) == 1


def test_replay_reads_again_what_could_not_be_read(tmp_path: Path) -> None:
    wrong = Columns(user="u", item="i", time="t", time_unit="text", numeric=("p",))
    batch = pa.RecordBatch.from_pylist(
        [{"u": "a", "i": "x", "t": "1767225600", "p": "1.25"}, {"u": "b", "i": "y", "t": "2026-01-01", "p": None},
         {"u": "b", "i": "y", "t": "2026-01-01", "p": "0.1"}]
    )  # fmt: skip
    with lake(tmp_path) as warehouse:
        landed = land(warehouse, day(0), [batch], wrong)
        assert reasons(warehouse) == {(0, 1, 0, "unreadable_time"), (0, 1, 2, "duplicate")}
        again = replay_version(warehouse, plan(wrong), day(0), 1)
        assert (again.version, again.fresh, again.digest) == (2, True, landed.digest)
        assert clean_digest(warehouse, 0, 2) == clean_digest(warehouse, 0, 1)
        mended = replay_version(warehouse, plan(wrong.model_copy(update={"time_unit": "auto"})), day(0), 2)
        assert mended.version == 3
        assert {r for r in reasons(warehouse) if r[1] == 3} == {(0, 3, 2, "duplicate")}
        kept = warehouse.connection.execute(
            "SELECT epoch_us(time), p FROM logs WHERE version = 3 ORDER BY arrival"
        ).fetchall()
        assert kept == [(START, 1.25), (START, None)]
        with pytest.raises(LookupError, match="no version 9 of period 2026-01-01"):
            replay_version(warehouse, plan(wrong), day(0), 9)


def test_replay_keeps_the_times_that_were_read(tmp_path: Path) -> None:
    """A time_format is for texts of the source: the lake's own times are not written so."""
    form = Columns(user="u", item="i", time="t", time_format="%d/%m/%Y %H:%M")
    batch = pa.RecordBatch.from_pylist(
        [{"u": "a", "i": "x", "t": "01/01/2026 10:00"}, {"u": None, "i": "y", "t": "01/01/2026 11:00"},
         {"u": "b", "i": "y", "t": "2026-01-01 12:00"}]
    )  # fmt: skip
    with lake(tmp_path) as warehouse:
        landed = land(warehouse, day(0), [batch], form)
        again = replay_version(warehouse, plan(form), day(0), landed.version)
        assert (again.version, again.rows, again.digest) == (2, 3, landed.digest)
        assert clean_digest(warehouse, 0, 2) == clean_digest(warehouse, 0, 1)
        wanted = {(1, "null_user"), (2, "unreadable_time")}
        assert (
            {r[2:] for r in reasons(warehouse) if r[1] == 1}
            == {r[2:] for r in reasons(warehouse) if r[1] == 2}
            == wanted
        )
        mended = form.model_copy(update={"time_format": "%Y-%m-%d %H:%M"})
        replay_version(warehouse, plan(mended), day(0), 2)
        assert {r[2:] for r in reasons(warehouse) if r[1] == 3} == {(1, "null_user")}
        times = warehouse.connection.execute("SELECT epoch_us(time) FROM landed WHERE version = 3 ORDER BY arrival")
        assert times.fetchall() == [(START + hour * 3_600_000_000,) for hour in (10, 11, 12)]


def test_quarantine_twice_is_once(tmp_path: Path) -> None:
    bad = pa.table(
        {"arrival": pa.array([1, 1, 2], pa.int64()), "reason": ["price/range", "device/values", "price/range"]}
    )
    with lake(tmp_path) as warehouse:
        land(warehouse, day(0), rows(*SIMPLE), NAMES)
        warehouse.quarantine(0, 1, bad)
        warehouse.quarantine(0, 1, bad)
        assert warehouse.connection.execute("SELECT count(*) FROM quarantine").fetchall() == [(3,)]
        assert clean_digest(warehouse, 0, 1)[1:] == (4, 2)


def test_expiry_keeps_what_is_named_and_the_newest(tmp_path: Path) -> None:
    with lake(tmp_path) as warehouse:
        for count in (1, 2, 3, 4):  # so many rows that they go to files: fewer than ten stay in the catalog
            land(warehouse, day(0), rows(*((f"{n}", n, n, 1, "x", 1.0) for n in range(100 * count))), NAMES)
        land(warehouse, day(1), rows(*SIMPLE), NAMES)
        kept, newest = clean_digest(warehouse, 0, 2), clean_digest(warehouse, 0, 4)
        files = len(list((tmp_path / "lake").rglob("*.parquet")))
        assert idle_versions(warehouse, {0: {2}}) == [(0, 1), (0, 3)]
        assert expire_versions(warehouse, {0: {2, 3}}, [(0, 1), (0, 2), (0, 3), (0, 4)]) == [
            (0, 1)
        ]  # kept and newest stay
        assert expire_versions(warehouse, {0: {2}}, []) == [] and expire_versions(warehouse, {0: {2}}, [(0, 3)]) == [
            (0, 3)
        ]
        compact_lake(warehouse, datetime(2026, 1, 1, tzinfo=UTC))
        assert len(list((tmp_path / "lake").rglob("*.parquet"))) >= files  # nothing goes before its time
        compact_lake(warehouse, datetime.now(UTC) + timedelta(minutes=1))
        assert idle_versions(warehouse, {0: {2}}) == []
        assert (clean_digest(warehouse, 0, 2), clean_digest(warehouse, 0, 4)) == (kept, newest)
        assert clean_digest(warehouse, 1, 1)[1] == 4
        with pytest.raises(LookupError, match="version 1 of period 0: it was never collected, or it has expired"):
            clean_digest(warehouse, 0, 1)
        assert len(list((tmp_path / "lake").rglob("*.parquet"))) < files
        assert land(warehouse, day(0), rows(*SIMPLE), NAMES).version == 5


@pytest.mark.soak
def test_a_period_larger_than_memory_lands(tmp_path: Path) -> None:
    columns = Columns(user="u", item="i", time="t", categorical=("text",))
    texts = pa.array([f"{k:0400d}" for k in range(20_000)])
    times = pa.array([START] * 20_000)
    batches = (
        pa.RecordBatch.from_arrays(
            [pa.array(range(n, n + 20_000)), pa.array(range(20_000)), times, texts], ["u", "i", "t", "text"]
        )
        for n in range(0, 600_000, 20_000)
    )
    with lake(tmp_path, memory="200MB") as warehouse:  # 600,000 rows of more than 430 bytes
        landing = land(warehouse, Period(0, "large", START, START + DAY), batches, columns)
        assert landing.rows == 600_000
        assert clean_digest(warehouse, 0, 1)[1:] == (600_000, 0)


def test_rows_are_the_same_under_a_release_whose_plans_have_more_fields() -> None:
    """Else the first night after an upgrade would collect what it has as another version, and all after it would be stale."""

    class Later(Columns):
        """Columns of a later release."""

        folded: bool = False

    now = plan(NAMES)
    later = now.model_copy(update={"columns": Later(**NAMES.model_dump())})
    other = now.model_copy(update={"columns": Later(**NAMES.model_dump(), folded=True)})
    assert rules_digest(later) == rules_digest(now) != rules_digest(other)
