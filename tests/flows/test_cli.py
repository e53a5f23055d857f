"""The console script as a user runs it: one JSON document, exit codes that can be trusted, and mistakes in one sentence."""

from __future__ import annotations

import errno
import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner

import nightloop.flows.cli.main as cli
import nightloop.flows.nightly
from nightloop.flows.cli.serve import _open_store
from nightloop.tasks.plan.settings import Settings
from nightloop.tasks.resources import open_store
from tests.flows.run_cli import HOUSE, here, refused, said
from tests.flows.tiny_pipeline import Tiny, begin, raw_plan

pytestmark = pytest.mark.xdist_group("cli")  # one process: what these tests begin from is made once
VERBS = (
    "demo",
    "night",
    "backfill",
    "bakeoff",
    "tune",
    "promote",
    "rollback",
    "status",
    "doctor",
    "check",
    "up",
    "maintain",
    "serve",
    "login",
)


@pytest.fixture
def tiny(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Tiny:
    with pytest.MonkeyPatch.context() as plainly:
        found = begin(tmp_path_factory, plainly, 1, 2)
    monkeypatch.setenv("NIGHTLOOP_HOME", str(found.home / "home"))
    return found


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_explains_itself(verb: str) -> None:
    told = CliRunner().invoke(cli.app, [verb, "--help"], env={"COLUMNS": "200"})
    assert told.exit_code == 0 and "Usage" in told.output and len(told.output) > 200


def test_the_script_lists_its_verbs_and_an_unknown_one_is_a_mistake() -> None:
    told = CliRunner().invoke(cli.app, ["--help"], env={"COLUMNS": "200"})
    assert all(verb in told.output for verb in VERBS)
    done = said({}, "tonight")
    assert done.returncode == 2 and "No such command 'tonight'" in done.stderr and not done.stdout


def test_a_night_and_its_status_are_one_json_document_each(
    tiny: Tiny, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    here(monkeypatch, "night", str(tiny.path), "--period", "2026-01-04", "--json")
    with pytest.raises(SystemExit):
        cli.main()
    told = json.loads(capsys.readouterr().out)
    assert len(told) == 1 and told[0].startswith("2026-01-04")
    here(monkeypatch, "status", str(tiny.path), "--json")
    with pytest.raises(SystemExit):
        cli.main()
    found = json.loads(capsys.readouterr().out)
    assert found["pipeline"] == "tiny" and [n["period"] for n in found["nights"]][:3]


def test_what_would_run_and_a_promotion_are_one_json_document_each(
    tiny: Tiny, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    here(monkeypatch, "backfill", str(tiny.path), "--end", "2026-01-05", "--dry-run", "--json")
    with pytest.raises(SystemExit) as ended:
        cli.main()
    assert not ended.value.code and json.loads(capsys.readouterr().out)[-1].startswith("2026-01-05: run")
    here(monkeypatch, "promote", str(tiny.path), "--strategy", "still", "--force", "--reason", "a trial", "--json")
    with pytest.raises(SystemExit) as ended:
        cli.main()
    assert not ended.value.code and "still of 2026-01-03 serves" in json.loads(capsys.readouterr().out)["text"]


def test_a_stopped_night_is_no_success(
    tiny: Tiny, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    tiny.deliver(3, bad=True)
    here(monkeypatch, "night", str(tiny.path), "--period", "2026-01-04", "--json")
    with pytest.raises(SystemExit) as ended:
        cli.main()
    done = capsys.readouterr()
    assert ended.value.code == 2 and "stopped by validation" in json.loads(done.out)["error"]
    assert "nightloop: 2026-01-04 of tiny was stopped by validation" in done.err and "Traceback" not in done.err


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (("night", "nothing"), "no plan 'nothing': give the path of a YAML file, or one of"),
        (("night", "{plan}", "--period", "2999-01-01"), "is not over yet"),
        (("night", "{plan}", "--period", "../../etc/passwd"), "period"),
        (("night", "{plan}", "--period", "2026-01-03", "--accept", "a", "--skip", "b"), "both given"),
        (("backfill", "{plan}", "--start", "2026-01-03", "--end", "2026-01-02"), "reversed"),
        (("backfill", "{plan}", "--start", "2999-01-01"), "2999-01-01 is not closed yet: the newest closed period is"),
        (("promote", "{plan}", "--strategy", "still"), "needs a reason"),
        (("promote", "{plan}", "--strategy", "still", "--reason", "trial"), "give --force"),
        (("rollback", "{plan}", "--reason", "because"), "no champion yet"),
        (("status", "{plan}", "--on", "teatime"), "teatime"),
    ],
)
def test_a_mistake_is_one_clear_sentence_and_exit_code_2(
    tiny: Tiny,
    words: tuple[str, ...],
    expected: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    before = tiny.record()
    told = refused(monkeypatch, capsys, *(w.replace("{plan}", str(tiny.path)) for w in words))
    sentence = next(line for line in told.splitlines() if line.startswith("nightloop: "))
    assert expected in sentence and len(sentence) < 600
    assert tiny.record() == before


def test_a_plan_with_mistakes_is_refused_with_all_of_them(tmp_path: Path) -> None:
    path = tmp_path / "wrong.yaml"
    path.write_text("pipeline: ../up\nhistory: none\n")
    done = said({}, "night", str(path), "--json")
    assert done.returncode == 2 and "8 mistakes" in json.loads(done.stdout)["error"] and "Traceback" not in done.stderr
    assert all(
        word in done.stderr for word in ("pipeline", "pretrain_periods", "source: missing", "strategies: missing")
    )


def test_the_doctor_finds_a_sound_machine_sound_and_a_bad_store_bad(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("NIGHTLOOP_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("PREFECT_API_URL", "")
    here(monkeypatch, "doctor", "--json")
    with pytest.raises(SystemExit):
        cli.main()
    found = json.loads(capsys.readouterr().out)
    assert found["healthy"] and {c["check"] for c in found["checks"]} >= {
        "python",
        "packages",
        "store",
        "plans",
        "disk",
    }
    (tmp_path / "file").write_text("no store")
    monkeypatch.setenv("NIGHTLOOP_STORE", str(tmp_path / "file"))
    with pytest.raises(SystemExit) as ended:
        cli.main()
    done = json.loads(capsys.readouterr().out)
    assert ended.value.code == 1 and not done["healthy"]
    bad = [c for c in done["checks"] if not c["ok"]]
    assert [c["check"] for c in bad] == ["store", "lake"] and "is a file" in bad[0]["finding"]


ALONE = """
import sys
import nightloop.flows.nightly, nightloop.flows.status

said = nightloop.flows.nightly.nightly(sys.argv[1], sys.argv[2]) if sys.argv[2:] else nightloop.flows.status.status(sys.argv[1])["headline"]
print(said)
heavy = {"torch", "prefect", "great_expectations", "matplotlib"} | ({"scipy"} if sys.argv[2:] else {"pandas"})
print(sorted(heavy & set(sys.modules)))
"""


@pytest.mark.parametrize("words", [(), ("2026-01-03",)], ids=["status", "finished night"])
def test_who_only_looks_needs_neither_torch_nor_prefect(words: tuple[str, ...], tiny: Tiny) -> None:
    """They take seconds to import, and whoever looks at what happened waits for an answer.

    `status` shows intervals, for which it needs Student's distribution of scipy: a fifth of a second.
    """
    nightloop.flows.nightly.nightly(str(tiny.path), "2026-01-03")  # whose report is drawn, once
    (tiny.home / "home" / "lake" / "extensions.json").unlink(
        missing_ok=True
    )  # as in a home that another one's process filled
    command = [sys.executable, "-c", ALONE, str(tiny.path), *words]
    done = subprocess.run(command, cwd=HOUSE, env=dict(os.environ), capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr[-2000:]
    assert done.stdout.splitlines()[-1] == "[]", done.stdout


def test_an_option_that_is_wrong_is_refused_although_the_night_is_finished(tiny: Tiny) -> None:
    before = tiny.record()
    tiny.path.write_text(yaml.safe_dump(raw_plan(tiny.home, {"model": {"use": "MF", "options": {"witdh": 4}}})))
    with pytest.raises(ValueError, match="witdh"):
        nightloop.flows.nightly.nightly(str(tiny.path), "2026-01-03")
    assert tiny.record() == before


def test_the_command_that_advice_gives_can_be_run_as_it_stands(
    tiny: Tiny, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    tiny.path.write_text(yaml.safe_dump(raw_plan(tiny.home, {"model": {"use": "MF", "options": {"width": 8}}})))
    with pytest.raises(ValueError, match="the plan of tiny changed") as told:
        nightloop.flows.nightly.nightly(str(tiny.path), "2026-01-04")
    words = shlex.split(re.findall(r"nightloop (backfill .*?--what all)", str(told.value))[0])
    here(monkeypatch, *words, "--dry-run")
    with pytest.raises(SystemExit) as ended:
        cli.main()
    assert ended.value.code in (0, None) and "2026-01-03" in capsys.readouterr().out


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EROFS, errno.EACCES])
def test_a_store_that_is_full_or_read_only_is_still_served_from(
    tmp_path: Path, number: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    settings = Settings(home=tmp_path)
    open_store(settings).create("pipelines/shop/name", b"it is there")

    def fail(*_: object) -> None:
        raise OSError(number, "the store may not be written")

    monkeypatch.setattr("nightloop.tasks.resources.open_store", fail)
    if number == errno.EACCES:  # it may be another user's
        with pytest.raises(PermissionError):
            _open_store(settings)
        return
    found = _open_store(settings).read("pipelines/shop/name")
    assert found and found[0] == b"it is there"
    assert "may not be written. It serves meanwhile" in capsys.readouterr().err
