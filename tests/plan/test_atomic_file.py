"""Atomic file: two writers of one file do not meet, and no file of a person lies in the way."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from nightloop.tasks.plan.atomic_file import is_generated, write_generated, write_text


def test_a_file_of_a_person_beside_it_stays(tmp_path: Path) -> None:
    """Plans and reports were written by way of NAME.part, which replaced a person's file of this name, or what it links to."""
    (tmp_path / "shop.tuned.part").write_text("mine")
    (tmp_path / "shop.part").symlink_to(tmp_path / "elsewhere.txt")
    for name in ("shop.tuned.yaml", "shop.html"):
        write_text(tmp_path / name, "new")
    assert (tmp_path / "shop.tuned.part").read_text() == "mine" and not (tmp_path / "elsewhere.txt").exists()
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "shop.html", "shop.part", "shop.tuned.part", "shop.tuned.yaml",
    ]  # fmt: skip


def test_two_writers_of_one_file_both_succeed(tmp_path: Path) -> None:
    """They used one name for what was not ready: one was refused, or a mixture was put in place."""
    file, texts = tmp_path / "deep" / "report.html", [letter * 200_000 for letter in "abcdefgh"]
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda text: write_text(file, text), texts * 25))
    assert file.read_text() in texts and [path.name for path in file.parent.iterdir()] == ["report.html"]


def test_a_plan_that_was_saved_in_another_encoding_was_edited(tmp_path: Path) -> None:
    plan = tmp_path / "shop.tuned.yaml"
    write_generated(plan, "# Written", {"pipeline": "shop"})
    assert is_generated(plan, "# Written")
    plan.write_bytes(plan.read_bytes() + "# für später\n".encode("latin-1"))
    assert not is_generated(plan, "# Written")
