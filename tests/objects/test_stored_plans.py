"""Plans in the store: a name means one text for ever, and a machine without the file has the plan all the same."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from nightloop.flows.run_names import run_name
from nightloop.tasks.objects.stored_plans import load_stored_plan, plan_key, store_plan
from nightloop.tasks.plan.errors import DataError
from nightloop.tasks.resources import open_store, plan_file, read, read_plan_form
from nightloop.tasks.run_tuning import place_of_plan
from tests.flows.tiny_pipeline import raw_plan


@pytest.fixture
def text(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> bytes:
    """A plan with a comment and a carriage return, and a home."""
    monkeypatch.setenv("NIGHTLOOP_HOME", str(tmp_path / "home"))
    return b"# shop\r\n" + yaml.safe_dump(raw_plan(tmp_path, {"pipeline": "shop"})).encode()


def test_one_text_one_name(text: bytes) -> None:
    objects = open_store()
    name = store_plan(objects, "shop", text)
    assert name.startswith("shop@") and store_plan(objects, "shop", text) == name
    assert store_plan(objects, "shop", text + b"# edited\n") != name
    assert load_stored_plan(objects, name) == text


def test_the_plan_is_read_where_its_file_is_not(text: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    name = store_plan(open_store(), "shop", text)
    monkeypatch.setenv("NIGHTLOOP_STORE", str(tmp_path / "home" / "store"))
    monkeypatch.setenv("NIGHTLOOP_HOME", str(tmp_path / "worker"))
    assert read_plan_form(name) == read(name) and read(name).pipeline == "shop"
    assert plan_file(name).read_bytes() == text
    plan_file(name).write_text("edited: here")
    assert plan_file(name).read_bytes() == text, "the store decides"
    assert run_name("nightly", {"plan": name, "period": "2026-01-05"}) == "nightly shop 2026-01-05"
    assert place_of_plan(name, "") == tmp_path / "worker" / "plans" / "shop.tuned.yaml"


def test_a_damaged_plan_is_not_used_and_deploying_again_repairs_it(text: bytes) -> None:
    objects = open_store()
    name = store_plan(objects, "shop", text)
    stored = objects.read(plan_key(name))
    assert stored is not None and objects.swap(plan_key(name), text[:-9], stored[1])
    with pytest.raises(DataError, match=r"plans/shop/\w+\.yaml was changed or cut off; deploy the plan again"):
        read(name)
    assert store_plan(objects, "shop", text) == name and read(name).pipeline == "shop"
    with pytest.raises(FileNotFoundError, match="the store has no plan shop@0123456789abcdef; deploy"):
        read("shop@0123456789abcdef")
