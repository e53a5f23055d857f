"""Comments that name columns: a file in which the columns change their places is refused (PowerShell 26428, stanza-plugins 274)."""

from __future__ import annotations

from pathlib import Path

import pytest

from nightloop.tasks.formats.comment_names import comment_names
from nightloop.tasks.lake.ingest import land_period
from nightloop.tasks.plan.errors import DataError
from nightloop.tasks.plan.plan import Columns
from nightloop.tasks.sources.files import Files
from tests.lake.make_lake import day, lake, plan

HITS = Columns(user="c-ip", item="cs-uri-stem", time="time")
NAMES = ("time", "s-ip", "c-ip", "cs-uri-stem")
USUAL, MOVED = "#Fields: time s-ip c-ip cs-uri-stem\n", "#Fields: time c-ip s-ip cs-uri-stem\n"
HEAD = "#Software: made by us\n#Version: 1.0\n"
ROW, OTHER = "2026-01-01T10:00:00 10.0.0.1 8.8.4.4 /a\n", "2026-01-01T11:00:00 8.8.4.5 10.0.0.1 /b\n"


def landed(folder: Path, text: str, names: tuple[str, ...] = NAMES, columns: Columns = HITS) -> tuple[list[str], int]:
    """The users of a log, and how many of its lines were put aside."""
    folder.mkdir(exist_ok=True)
    (folder / "a.log").write_text(text)
    source = Files(str(folder / "a.log"), format="csv", delimiter=" ", comment="#", names=names)
    with lake(folder / "lake") as pond:
        land_period(pond, source, plan(columns), day(0))
        users = pond.connection.execute('SELECT "user" FROM logs ORDER BY arrival').fetchall()
        (aside,) = pond.connection.execute("SELECT count(*) FROM quarantine").fetchone() or (0,)
    return [user for (user,) in users], aside


def test_columns_that_change_their_places_in_a_file_are_refused(tmp_path: Path) -> None:
    """A server's log of which the fields were set anew: servers became users."""
    says = "a.log:6: a comment names the columns again, and 'c-ip' where 's-ip' stood.* in the order of those above"
    with pytest.raises(DataError, match=says):
        landed(tmp_path, HEAD + USUAL + ROW + "#Version: 1.0\n" + MOVED + OTHER)
    own, called = Columns(user="who", item="what", time="at"), ("at", "server", "who", "what")
    with pytest.raises(DataError, match="names the columns again"):
        landed(tmp_path, HEAD + USUAL + ROW + MOVED + OTHER, called, own)


def test_names_of_a_plan_in_another_order_than_those_of_a_comment_are_refused(tmp_path: Path) -> None:
    """The file after the one in which they changed."""
    says = "a.log:3: a comment calls column 3 's-ip', and the source's option `names` calls column 2 so"
    with pytest.raises(DataError, match=says):
        landed(tmp_path, HEAD + MOVED + OTHER)


def test_comments_that_name_the_columns_as_before_are_passed_over(tmp_path: Path) -> None:
    """A server that was started again. A row of another number of fields is put aside alone."""
    assert landed(tmp_path, HEAD + USUAL + ROW + HEAD + USUAL.upper() + ROW.replace("8.4.4", "8.4.6"))[0] == [
        "8.8.4.4",
        "8.8.4.6",
    ]
    longer = "#Fields: time c-ip s-ip cs-uri-stem sc-status\n2026-01-01T11:00:00 8.8.4.5 10.0.0.1 /b 200\n"
    assert landed(tmp_path / "longer", HEAD + USUAL + ROW + longer) == (["8.8.4.4"], 1)


@pytest.mark.parametrize(("line", "names"), [
    ("#Fields: date time", ["date", "time"]), ("# fields:date time", ["date", "time"]), ("#fields\tts\tuid", ["ts", "uid"]),
    ("# fields are between blanks", []), ("#Fieldset: a b", []), ("x #Fields: a", []),
])  # fmt: skip
def test_what_names_columns(line: str, names: list[str]) -> None:
    assert comment_names(line) == names
