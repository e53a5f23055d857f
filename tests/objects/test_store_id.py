"""The id of a store: one for ever, whoever comes first, and what a machine that sees another store is told."""

from __future__ import annotations

import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from nightloop.tasks.objects.objects import Directory, open_for_reading, open_objects
from nightloop.tasks.objects.pipelines import load_record
from nightloop.tasks.objects.store_id import KEY, ensure_store_id, read_store_id
from nightloop.tasks.plan.errors import ConflictError
from nightloop.tasks.plan.settings import Settings
from tests.s3_servers import Server


def test_a_new_store_has_an_id_and_a_complete_record_and_keeps_them(tmp_path: Path) -> None:
    objects = open_objects(Settings(home=tmp_path / "home", store=str(tmp_path / "store")))
    known, record = read_store_id(objects), load_record(objects)
    assert len(known) == 32 and record is not None and record.complete
    assert ensure_store_id(open_objects(Settings(home=tmp_path / "other", store=str(tmp_path / "store")))) == known
    assert read_store_id(open_objects(Settings(home=tmp_path / "home2"))) not in ("", known)


def test_a_store_of_an_older_release_gets_one_id_whoever_comes_first(tmp_path: Path) -> None:
    objects = open_objects(Settings(home=tmp_path))
    objects.remove(KEY)
    with ThreadPoolExecutor(8) as pool:
        assert len({*pool.map(lambda _: ensure_store_id(Directory(objects.path)), range(8))}) == 1


def test_a_machine_that_sees_another_store_is_refused_and_writes_nothing(tmp_path: Path) -> None:
    known = read_store_id(open_objects(Settings(home=tmp_path / "home")))
    elsewhere = Settings(home=tmp_path / "laptop", store_id=known)
    for opened in (open_objects, open_for_reading):
        with pytest.raises(ConflictError, match=rf"the id {known}, and .*laptop/store has no id: it is another store"):
            opened(elsewhere)
    assert not (tmp_path / "laptop").exists()
    other = read_store_id(open_objects(Settings(home=tmp_path / "laptop")))
    with pytest.raises(ConflictError, match=rf"has the id {other}.*Set NIGHTLOOP_STORE.*nightloop deploy PLAN"):
        open_objects(elsewhere)
    shutil.copytree(tmp_path / "home" / "store", tmp_path / "restored")
    assert open_objects(Settings(home=tmp_path / "laptop", store=str(tmp_path / "restored"), store_id=known))


def test_the_id_on_s3(tmp_path: Path, moto: Server, moto_store_url: str) -> None:
    settings = moto.settings(moto_store_url, tmp_path)
    known = read_store_id(open_objects(settings, moto.credentials))
    assert ensure_store_id(open_objects(settings.model_copy(update={"store_id": known}), moto.credentials)) == known
