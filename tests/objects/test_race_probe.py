"""A server that checks a condition first and writes later is found out; stores that are right pass."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from nightloop.tasks.objects.objects import Directory, open_objects
from nightloop.tasks.objects.probe import probe_store
from nightloop.tasks.objects.race_probe import probe_races
from nightloop.tasks.plan.errors import DataError
from tests.objects.memory_objects import Memory
from tests.s3_servers import Server


class Late(Memory):
    """As some S3 servers: the condition is checked, the bytes arrive, and then they are written."""

    late = ("create", "swap")

    def create(self, key: str, data: bytes) -> bool:
        if self.read(key) is not None:
            return False
        time.sleep(0.02 if "create" in self.late else 0)
        return super().create(key, data) or "create" in self.late

    def swap(self, key: str, data: bytes, tag: str) -> bool:
        stored = self.read(key)
        if stored is None or stored[1] != tag:
            return False
        time.sleep(0.02 if "swap" in self.late else 0)
        return super().swap(key, data, tag) or "swap" in self.late


@pytest.mark.parametrize(("late", "header"), [(("create",), "If-None-Match"), (("swap",), "If-Match")])
def test_a_server_that_writes_later_is_found_out(
    late: tuple[str, ...], header: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    objects = Late.fresh()
    monkeypatch.setattr(Late, "late", late)
    probe_store(objects, "the store")  # one request after the other: nothing is wrong
    with pytest.raises(
        DataError, match=rf"the store does not keep .*8 writers with {header} at the same moment, \d succeeded"
    ):
        probe_races(objects, "the store")
    assert not list(objects.keys("probe/"))


def test_stores_that_are_right_pass_and_nothing_is_left(tmp_path: Path, moto: Server, moto_store_url: str) -> None:
    on_s3 = open_objects(moto.settings(moto_store_url, tmp_path), moto.credentials)
    for objects in (Memory.fresh(), Directory(tmp_path / "store"), on_s3):
        probe_races(objects, "it")
        assert not list(objects.keys("probe/"))
