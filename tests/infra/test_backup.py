"""Backup and restore: nothing is lost, also if nights run meanwhile, and the restored chain goes on with the same bytes."""

from __future__ import annotations

import json
import os
import resource
import shutil
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import boto3
import pytest

from nightloop.flows.cli.doctor import doctor
from nightloop.flows.nightly import nightly
from nightloop.flows.status import status
from nightloop.infra import backup
from nightloop.tasks.lake.catalog_marks import catalog_identity, refuse_other_catalog
from nightloop.tasks.objects.objects import Directory
from nightloop.tasks.objects.probe import FORMAT_KEY
from nightloop.tasks.objects.store_id import KEY as STORE_ID
from nightloop.tasks.objects.store_id import read_store_id
from nightloop.tasks.objects.stored_plans import load_stored_plan, store_plan
from nightloop.tasks.objects.trash import Removal, removal_record
from nightloop.tasks.plan.errors import ConflictError, DataError, NightloopError
from nightloop.tasks.promote import promote_by_hand
from nightloop.tasks.resources import open_lake, open_store
from nightloop.tasks.serving.fresh_process import fork_server_of_process
from nightloop.tasks.serving.record_copies import RecordCopies
from tests.flows.tiny_pipeline import WHEN, Tiny, begin, run
from tests.postgres_server import running_postgres
from tests.record.act_sequences import check_invariants
from tests.s3_servers import Server


@pytest.fixture
def tiny(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Tiny:
    monkeypatch.setenv("PREFECT_API_URL", "")
    return begin(tmp_path_factory, monkeypatch, 1, 2)


def healthy() -> bool:
    """Whether doctor --deep finds nothing."""
    found = doctor(deep=True)
    assert found["healthy"], found["text"]
    check_invariants(open_store(), {}, "tiny")
    return True


def test_nothing_is_lost_and_the_chain_goes_on(tiny: Tiny, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    promote_by_hand(tiny.plan, "tuned", "", "", ("a trial", True), WHEN, None)
    known = tiny.record(), tiny.log(), read_store_id(open_store())
    assert "files are in" in backup.make(tmp_path / "backup")
    run(tiny, 3, 4)
    after = tiny.record()
    monkeypatch.setenv("NIGHTLOOP_HOME", str(tmp_path / "restored"))
    assert "were restored" in backup.restore(tmp_path / "backup")
    assert (tiny.record(), tiny.log(), read_store_id(open_store())) == known and healthy()
    run(tiny, 3, 4)
    assert tiny.record() == after


def test_a_backup_that_is_made_while_nights_run_is_whole(
    tiny: Tiny, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A night, and then a promotion of it, between the copies of two kinds of objects."""
    kinds: list[int] = []
    copy = backup._copy

    def slow_copy(objects: Directory, key: str, *given: object) -> list[str]:
        kind = backup._order(key)[0]
        if kind not in kinds and str(given[0]).startswith("store/"):
            kinds.append(kind)
            run(tiny, 2 + len(kinds))
            promote_by_hand(tiny.plan, "tuned", "", "", (f"trial {len(kinds)}", True), WHEN, None)
        return copy(objects, key, *given)  # type: ignore[arg-type]

    promote_by_hand(tiny.plan, "still", "", "", ("a trial", True), WHEN, None)
    monkeypatch.setattr(backup, "_copy", slow_copy)
    backup.make(tmp_path / "backup")
    assert len(kinds) == 5
    monkeypatch.setenv("NIGHTLOOP_HOME", str(tmp_path / "restored"))
    backup.restore(tmp_path / "backup")
    assert healthy()
    run(tiny, 3, 4, 5)
    assert healthy()


def test_a_second_backup_copies_what_is_new(tiny: Tiny, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    backup.make(tmp_path / "backup")
    read: list[str] = []
    real = Directory.read
    run(tiny, 3)
    known = tiny.record()
    of_store = lambda self, key: (read.append(key) if self.path.name == "store" else None) or real(self, key)  # noqa: E731
    monkeypatch.setattr(Directory, "read", of_store)
    backup.make(tmp_path / "backup")
    assert 0 < len([key for key in read if key.startswith("blobs/")]) < len([k for k in known if k.startswith("blobs/")]) / 2
    monkeypatch.setenv("NIGHTLOOP_HOME", str(tmp_path / "restored"))
    backup.restore(tmp_path / "backup")
    assert tiny.record() == known and healthy()


def test_copies_of_served_rows_are_no_damage(tiny: Tiny, tmp_path: Path) -> None:
    (tiny.home / "served" / "labelled").mkdir(parents=True)
    (tiny.home / "served" / "labelled" / "2026-11-01.jsonl").write_text('{"n": 1}\n')
    RecordCopies(open_store(), "tiny", tiny.home / "served").send()
    assert "damaged" not in backup.make(tmp_path / "backup")
    (copy,) = open_store().keys("pipelines/tiny/serving/labelled")
    open_store().remove(copy)
    backup.make(tmp_path / "backup")
    assert f"store/{copy}" in files_of(tmp_path / "backup"), "what is gone from the store stays in the backup"


def test_no_night_begins_in_a_store_that_was_restored_in_part(
    tiny: Tiny, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    backup.make(tmp_path / "backup")
    kept, order = tiny.record(), list[str]()
    create = Directory.create

    def cut_off(self: Directory, key: str, data: bytes) -> bool:
        if len(order) == most:
            raise KeyboardInterrupt
        order.append(key)
        return create(self, key, data)

    for most in (1, 12, 30, 40, 50, 10**6):
        home = tmp_path / f"home-{most}"
        monkeypatch.setenv("NIGHTLOOP_HOME", str(home))
        order.clear()
        with monkeypatch.context() as patch:
            patch.setattr(Directory, "create", cut_off)
            with suppress(KeyboardInterrupt):
                backup.restore(tmp_path / "backup")
        if FORMAT_KEY not in order:
            assert any(key.startswith("blobs/") for key in order), most
            before = sorted(home.rglob("*.json"))
            with pytest.raises(NightloopError, match="restored in part"):
                nightly(str(tiny.path), tiny.name(3))
            with pytest.raises(NightloopError, match="restored in part"):
                status(str(tiny.path))
            assert not list(home.rglob("000003/*.json")) and {*before} <= {*home.rglob("*.json")}
            backup.restore(tmp_path / "backup")  # goes on
            assert tiny.record() == kept
    assert order[-2:] == [FORMAT_KEY, STORE_ID] and tiny.record() == kept


def test_a_restore_that_a_full_disk_ended_in_the_catalog_goes_on(
    tiny: Tiny, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was written of the catalog was taken for that of somebody else."""
    backup.make(tmp_path / "backup")
    kept, size = tiny.record(), max(path.stat().st_size for path in (tmp_path / "backup" / "blobs").iterdir())
    monkeypatch.setenv("NIGHTLOOP_HOME", str(tmp_path / "home"))
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size - 1, before[1]))  # the catalog is the largest file
    try:
        with pytest.raises(OSError, match="File too large"):
            backup.restore(tmp_path / "backup")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    backup.restore(tmp_path / "backup")
    assert tiny.record() == kept


def test_what_is_refused_changes_nothing(tiny: Tiny, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    there = tmp_path / "backup"
    backup.make(there)
    before = tiny.record()
    with pytest.raises(ConflictError, match="home/store is not empty .*nothing was restored"):
        backup.restore(there)
    monkeypatch.setenv("NIGHTLOOP_HOME", str(tmp_path / "restored"))
    name, sha = next((n, s) for n, s in files_of(there).items() if n.startswith("store/blobs/"))
    blob = there / "blobs" / sha
    kept = blob.read_bytes()
    blob.write_bytes(kept[:-1])
    with pytest.raises(DataError, match=rf"1 files of .* missing or were changed: {name}"):
        backup.restore(there)
    blob.write_bytes(kept)
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "letters").touch()
    (tmp_path / "blobs" / "blobs").mkdir(parents=True)  # of another program
    with pytest.raises(DataError, match="no complete backup"):
        backup.restore(tmp_path / "other")
    with pytest.raises(ConflictError, match="there is no store at"):
        backup.make(tmp_path / "another")
    assert not (tmp_path / "restored").exists() and not (tmp_path / "another").exists()
    monkeypatch.setenv("NIGHTLOOP_HOME", str(tiny.home / "home"))
    with pytest.raises(ConflictError, match="is not empty .letters. and holds no backup"):
        backup.make(tmp_path / "other")
    with pytest.raises(ConflictError, match="is not empty .blobs. and holds no backup"):
        backup.make(tmp_path / "blobs")
    assert tiny.record() == before


def files_of(directory: Path) -> dict[str, str]:
    """What the list of a backup names."""
    files: dict[str, str] = json.loads((directory / backup.LIST).read_text())["files"]
    return files


def fail(*given: object) -> None:
    raise ConnectionError("the store is away")


def no_store(tiny: Tiny, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NIGHTLOOP_STORE", str(tiny.home / "typo"))


def cut_off(tiny: Tiny, monkeypatch: pytest.MonkeyPatch) -> None:
    promote_by_hand(tiny.plan, "still", "", "", ("another champion", True), WHEN, None)  # the pointer is copied first
    monkeypatch.setattr(backup, "dump_catalogs", fail)


def another_store(tiny: Tiny, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NIGHTLOOP_STORE", str(tiny.home / "another"))
    run(tiny, 1)


def nights_not_mounted(tiny: Tiny, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.rmtree(tiny.home / "home" / "store" / "pipelines" / "tiny" / "nights")


def newest_night_gone(tiny: Tiny, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.rmtree(tiny.home / "home" / "store" / "pipelines" / "tiny" / "nights" / "000002")


def record_of_pipelines_gone(tiny: Tiny, monkeypatch: pytest.MonkeyPatch) -> None:
    (tiny.home / "home" / "store" / "pipelines.json").unlink()


@pytest.mark.parametrize(
    "fault",
    [no_store, cut_off, another_store, nights_not_mounted, newest_night_gone, record_of_pipelines_gone],
)
def test_a_failed_backup_leaves_the_one_before_as_it_was(
    fault: Callable[[Tiny, pytest.MonkeyPatch], None], tiny: Tiny, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    promote_by_hand(tiny.plan, "tuned", "", "", ("a trial", True), WHEN, None)
    known = tiny.record(), tiny.log()
    backup.make(tmp_path / "backup")
    with monkeypatch.context() as patched:
        fault(tiny, patched)
        with pytest.raises((NightloopError, OSError)):
            backup.make(tmp_path / "backup")
    monkeypatch.setenv("NIGHTLOOP_HOME", str(tmp_path / "restored"))
    backup.restore(tmp_path / "backup")
    assert (tiny.record(), tiny.log()) == known


def test_a_record_that_was_changed_does_not_replace_the_good_copy(
    tiny: Tiny, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    known = tiny.record()
    backup.make(tmp_path / "backup")
    store = tiny.home / "home" / "store"
    for path in (store / "pipelines" / "tiny" / "nights" / "000002" / "0001.json", next((store / "blobs").iterdir())):
        path.write_bytes(path.read_bytes()[:-3])
    assert backup.make(tmp_path / "backup").count("damaged in the store") == 1  # a blob is not read again
    shutil.rmtree(store / "blobs")  # and one that is gone stays in the backup
    shutil.rmtree(tiny.home / "home" / "lake" / "tiny")
    assert "files are in" in backup.make(tmp_path / "backup")
    monkeypatch.setenv("NIGHTLOOP_HOME", str(tmp_path / "restored"))
    backup.restore(tmp_path / "backup")
    assert tiny.record() == known and healthy()


def test_an_incomplete_listing_makes_no_incomplete_backup(
    tiny: Tiny, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, left_out = Directory.keys, ["pipelines/tiny/nights/000001"]
    seen = lambda self, prefix: (key for key in real(self, prefix) if not key.startswith(tuple(left_out)))  # noqa: E731
    monkeypatch.setattr(Directory, "keys", seen)
    with pytest.raises(DataError, match="the copy is not whole, so no backup was made"):
        backup.make(tmp_path / "backup")
    left_out[:] = ["blobs/"]  # a blob is copied because a record needs it
    name = store_plan(open_store(), "tiny", tiny.path.read_bytes())
    removal_record(open_store(), Removal(number=0, when=0.0, by="a run", reason="a trial"))
    backup.make(tmp_path / "backup")
    left_out[:] = ["removals/"]
    with pytest.raises(ConflictError, match=r"removals/00000001.json of the earlier backup is not shown"):
        backup.make(tmp_path / "backup")
    left_out[:] = ["plans/"]  # nothing names them but deployments, which a backup does not see
    backup.make(tmp_path / "backup")
    monkeypatch.setattr(Directory, "keys", real)
    monkeypatch.setenv("NIGHTLOOP_HOME", str(tmp_path / "restored"))
    backup.restore(tmp_path / "backup")
    assert healthy() and load_stored_plan(open_store(), name) == tiny.path.read_bytes()


def test_a_first_backup_that_was_cut_off_can_be_made_again(
    tiny: Tiny, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patched:
        patched.setattr(backup, "dump_catalogs", fail)
        with pytest.raises(ConnectionError):
            backup.make(tmp_path / "backup")
    with pytest.raises(DataError, match="no complete backup"):
        backup.restore(tmp_path / "backup")
    assert "files are in" in backup.make(tmp_path / "backup")


def test_files_that_no_backup_needs_are_removed(tiny: Tiny, tmp_path: Path) -> None:
    for _ in range(2):
        promote_by_hand(tiny.plan, "tuned", "", "", (f"trial {_}", True), WHEN, None)  # moves the pointer
        backup.make(tmp_path / "backup")
    assert {path.name for path in (tmp_path / "backup" / "blobs").iterdir()} == {*files_of(tmp_path / "backup").values()}


def test_postgresql_and_s3(
    tiny: Tiny, moto: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same with a catalog in PostgreSQL, restored into another database and another bucket."""
    monkeypatch.setattr(boto3, "DEFAULT_SESSION", None)
    on_disk = tiny.record()
    with running_postgres("keeper", "it's: secret") as postgres:
        monkeypatch.setenv("PATH", f"{postgres.programs}:{os.environ['PATH']}")

        def use(database: str) -> None:
            postgres.run("psql", "-d", "postgres", "-c", f"CREATE DATABASE {database}")
            bucket = moto.bucket()
            for name, value in {
                "NIGHTLOOP_HOME": str(tmp_path / database),
                "NIGHTLOOP_STORE": f"{bucket}/store",
                "NIGHTLOOP_DATA": f"{bucket}/lake",
                "NIGHTLOOP_CATALOG": f"postgres:dbname={database} user=keeper host=127.0.0.1 port={postgres.port}",
                "PGPASSWORD": postgres.password,
                "NIGHTLOOP_S3_ENDPOINT": moto.endpoint,
                "NIGHTLOOP_S3_PATH_STYLE": "true",
                "AWS_ACCESS_KEY_ID": moto.access,
                "AWS_SECRET_ACCESS_KEY": moto.secret,
            }.items():
                monkeypatch.setenv(name, value)
            fork_server_of_process().close()  # it has the environment of its start

        use("first")
        run(tiny, 1, 2)
        assert tiny.record() == on_disk
        backup.make(tmp_path / "backup")
        run(tiny, 3)
        after = tiny.record()
        with open_lake(tiny.plan) as lake:
            first = catalog_identity(lake)
        use("second")
        postgres.run("psql", "-d", "second", "-c", "CREATE SCHEMA tiny")  # as the status of an empty store leaves it
        with pytest.raises(ConflictError, match="has the schema tiny already; nothing was restored"):
            backup.restore(tmp_path / "backup")
        assert not moto.client().list_objects_v2(Bucket=os.environ["NIGHTLOOP_STORE"].split("/")[2]).get("Contents")
        postgres.run("psql", "-d", "second", "-c", "DROP SCHEMA tiny")
        backup.restore(tmp_path / "backup")
        with open_lake(tiny.plan) as lake, pytest.raises(ConflictError, match="a worker has another catalog"):
            refuse_other_catalog(lake, first)  # the copy has the name of the original
        assert tiny.record() == on_disk and healthy()
        run(tiny, 3)
        assert tiny.record() == after
        fork_server_of_process().close()
