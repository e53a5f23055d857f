"""Ctrl-C in the middle of anything, and a night that hangs: one sentence, no traceback, and the same bytes afterwards."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
import yaml

import nightloop.flows.maintain
import nightloop.flows.night_limit
import nightloop.flows.nightly
import nightloop.flows.promote
import nightloop.tasks.lake.warehouse
import nightloop.tasks.resources
import nightloop.tasks.retrain
from nightloop.flows.cli.interrupt import EXIT_CODE
from nightloop.flows.cli.main import main
from nightloop.flows.run_summary import report_early_end
from nightloop.tasks.lake.retry import unwrap_interrupts
from nightloop.tasks.plugins.assembly import read_plan
from nightloop.tasks.record import step_cache
from nightloop.tasks.reports.verdict import sentence
from nightloop.tasks.simulation.deliver import deliver
from tests.flows.child_night import POINTS, Point, arm, forked, step
from tests.flows.tiny_pipeline import WORLD, Tiny, begin, plain, raw_plan
from tests.prefect_server import Server

pytestmark = pytest.mark.xdist_group("flows")
POINTS_OF_A_NIGHT = {
    "collect": POINTS["rows in the lake, not yet committed"],
    "validate": Point(nightloop.flows.nightly, "validate", True),
    "score": POINTS["scores stored, not yet noted"],
    "retrain": POINTS["second checkpoint stored, not yet noted"],
    "compare": POINTS["after the comparison"],
    "deploy": POINTS["manifest visible"],
    "publish": Point(nightloop.flows.nightly, "publish", False),
}
OFTEN = ("collect",)
OTHERS = {
    "second night": Point(step_cache, "store_result", False, 5, step("retrain")),
    "third piece": Point(step_cache, "store_result", True, 3),
    "swept": Point(nightloop.flows.maintain, "sweep", True),
    "plan of an act read": Point(nightloop.flows.promote, "read", True),
}
SLOW = "SELECT a.range FROM range(1000000000) AS a, range(1000) AS b WHERE (a.range * 7 + b.range) % 1000003 = 5"


def process(home: Path, point: str, words: tuple[str, ...]) -> None:
    """What the forked process runs: the console script, which somebody interrupts at the point."""
    os.environ["NIGHTLOOP_HOME"] = str(home / "home")
    sys.stdout = sys.stderr = open(home / "said.txt", "w", buffering=1)  # noqa: SIM115
    plain(pytest.MonkeyPatch())
    if point:
        signal.signal(signal.SIGINT, signal.default_int_handler)
        arm((POINTS_OF_A_NIGHT | OTHERS)[point], signal.SIGINT)
    sys.argv = ["nightloop", *words]
    main()


def said(tiny: Tiny, code: int | None, *words: str, point: str = "") -> str:
    """What the console script says to these words, ending with this exit code."""
    assert forked(process, tiny.home, point, words) == code, (tiny.home / "said.txt").read_text()[-3000:]
    text = (tiny.home / "said.txt").read_text()
    assert "Traceback" not in text and "Aborted" not in text
    return text


@pytest.fixture
def begun(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Tiny:
    """Nights 1 and 2 are done."""
    return begin(tmp_path_factory, monkeypatch, 1, 2)


@pytest.fixture(scope="module")
def undisturbed() -> dict[str, dict[str, bytes]]:
    """What is on record after nights 3 and 4, once it is known."""
    return {}


@pytest.mark.parametrize(
    "task", [pytest.param(t, marks=() if t in OFTEN else pytest.mark.soak) for t in POINTS_OF_A_NIGHT]
)
def test_ctrl_c_in_any_task_is_one_sentence_and_the_night_resumes(
    task: str, begun: Tiny, undisturbed: dict[str, dict[str, bytes]], tmp_path_factory: pytest.TempPathFactory,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    night = ("night", str(begun.path), "--period", begun.name(3))
    if not undisturbed:
        said(begun, 0, *night)
        undisturbed["3"] = record(begun)
        begin(tmp_path_factory, monkeypatch, 1, 2)
    text = said(begun, EXIT_CODE, *night, point=task)
    if task == "publish":  # the night itself is done
        assert text.rstrip().endswith("interrupted; what was finished is kept, run it again to resume")
    else:
        assert text.rstrip().endswith("nightloop: interrupted after 0 of 1 night; run it again to resume")
    said(begun, 0, *night)
    assert record(begun) == undisturbed["3"]


def record(tiny: Tiny) -> dict[str, bytes]:
    """All nights and blobs; the log tells the time."""
    return {key: value for key, value in tiny.record().items() if "/log/" not in key}


def test_an_interrupted_backfill_lists_the_nights_that_are_done(begun: Tiny) -> None:
    text = said(begun, EXIT_CODE, "backfill", str(begun.path), "--end", begun.name(4), point="second night")
    assert "2026-01-04" in text and "2026-01-05" not in text
    assert text.rstrip().endswith("nightloop: interrupted after 1 of 2 nights; run it again to resume")


def test_a_replay_that_ends_early_says_would_be_of_what_it_moved_nothing_for(
    begun: Tiny, capsys: pytest.CaptureFixture[str]
) -> None:
    night = begun.chain()[2]
    assert sentence(night, True) != sentence(night, False)
    for live in (True, False):
        with pytest.raises(OSError, match="the disk"), report_early_end([night], [2, 3], live):
            raise OSError("the disk is full")
        told = capsys.readouterr().err
        assert sentence(night, live) in told and "stopped after 1 of 2 nights; run it again to resume" in told


def test_ctrl_c_in_a_statement_that_duckdb_runs_itself_is_no_error_of_the_lake(begun: Tiny) -> None:
    told = threading.Timer(0.3, os.kill, (os.getpid(), signal.SIGINT))
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        lake = nightloop.tasks.resources.open_lake(begun.plan)
        with pytest.raises(KeyboardInterrupt), lake as warehouse, unwrap_interrupts():
            told.start()
            warehouse.connection.execute(SLOW)
    finally:
        signal.signal(signal.SIGINT, before)


@pytest.mark.parametrize("error", ["KeyboardInterrupt", "ImportError('half done') from KeyboardInterrupt()"])
def test_ctrl_c_before_a_verb_has_begun_is_one_sentence(error: str) -> None:
    code = "import os, signal, sys, nightloop.__main__ as m; sys.modules['nightloop.flows.cli.main'] = M()"
    early = f"class M:\n    def __getattr__(self, name):\n        raise {error}\n"
    done = subprocess.run([sys.executable, "-c", f"{early}{code}; m.main()"], capture_output=True, text=True)
    assert done.returncode == EXIT_CODE and done.stderr.startswith("nightloop: interrupted;"), done.stderr
    assert done.stderr.count("\n") == 1


@pytest.mark.soak
def test_ctrl_c_is_one_sentence_where_prefect_runs_the_night(begun: Tiny, nightloop_up: Server) -> None:
    night = ("night", str(begun.path), "--period", begun.name(3), "--prefect")
    text = said(begun, EXIT_CODE, *night, point="retrain")
    assert text.rstrip().endswith("nightloop: interrupted after 0 of 1 night; run it again to resume")
    said(begun, 0, *night)


@pytest.mark.soak
def test_a_backfill_that_is_cancelled_in_prefect_says_how_far_it_came_and_resumes(
    nightloop_up: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for day in range(8):
        deliver(WORLD, tmp_path / "in", day)
    (tmp_path / "tiny.yaml").write_text(yaml.safe_dump(raw_plan(tmp_path, {"pipeline": "cancelled"})))
    given = {"plan": str(tmp_path / "tiny.yaml"), "end": "2026-01-08", "dry_run": False}
    deployment = nightloop_up.deployment("backfill")["id"]
    made = nightloop_up.ask(f"/deployments/{deployment}/create_flow_run", {"parameters": given})
    monkeypatch.setenv("NIGHTLOOP_HOME", str(nightloop_up.home))
    for _ in range(600):  # until the second night is recorded
        if (
            len(
                [
                    key
                    for key in nightloop.tasks.resources.open_store().keys("pipelines/cancelled/")
                    if "/nights/" in key
                ]
            )
            > 1
        ):
            break
        time.sleep(0.2)
    cancel = {"state": {"type": "CANCELLING", "name": "Cancelling"}}
    nightloop_up.ask(f"/flow_runs/{made['id']}/set_state", cancel)
    assert nightloop_up.ended(made["id"])["state_type"] == "CANCELLED"
    asked = {"logs": {"flow_run_id": {"any_": [made["id"]]}}, "limit": 200}
    told = [one["message"] for one in nightloop_up.ask("/logs/filter", asked)]
    assert any("of 7 nights; run it again to resume" in line for line in told), told
    assert not any("Query interrupted" in line for line in told)
    assert nightloop_up.start("backfill", given)["state_type"] == "COMPLETED"


@pytest.mark.soak
def test_an_interrupted_bake_off_says_how_many_cells_are_done_and_leaves_no_process(begun: Tiny) -> None:
    words = ("bakeoff", str(begun.path), "--seeds", "0,1", "--workers", "1")
    # Not in the terminal's process group: only this process is told.
    text = said(begun, EXIT_CODE, *words, point="third piece")
    assert "cells; run it again to resume" in text
    assert not [one for one in processes() if "nightloop.tasks.bakeoff.worker" in one and str(begun.home) in one]


def processes() -> list[str]:
    """The command lines of all processes of this machine."""
    found = []
    for one in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            found.append(one.read_bytes().replace(b"\0", b" ").decode(errors="replace"))
        except OSError:
            continue
    return found


@pytest.mark.soak
@pytest.mark.parametrize(
    ("words", "point"),
    [
        (("maintain", "{plan}"), "swept"),
        (("promote", "{plan}", "--strategy", "still", "--force", "--reason", "trial"), "plan of an act read"),
    ],
)  # fmt: skip
def test_acts_that_are_interrupted_can_be_run_again(words: tuple[str, ...], point: str, begun: Tiny) -> None:
    given = [word.replace("{plan}", str(begun.path)) for word in words]
    assert "run it again to resume" in said(begun, EXIT_CODE, *given, point=point)
    said(begun, 0, *given)


def hanging(home: Path, how: str, plan: Path, day: str) -> None:
    """What the forked process runs: a night whose training never ends, under a plan that allows it two seconds."""
    patch = pytest.MonkeyPatch()
    patch.setenv("NIGHTLOOP_LEASE_SECONDS", "5")
    if how == "in a library that hears no signal":
        patch.setattr(nightloop.flows.night_limit, "PATIENCE", 1.0)
    patch.setattr(nightloop.tasks.retrain, "fold", lambda *given: HANGS[how](plan, patch))
    process(home, "", ("night", str(plan), "--period", day))


def wait_in_the_lake(plan: Path, patch: pytest.MonkeyPatch) -> object:
    """A statement that takes days."""
    patch.setattr(nightloop.tasks.lake.warehouse, "statement", lambda name: SLOW)
    with nightloop.tasks.resources.open_lake(read_plan(plan)) as lake:
        return lake.latest()


def catch_everything() -> None:
    """Code that takes every error for one of its own, and goes on."""
    while True:
        try:
            time.sleep(1000)
        except Exception:  # what this test is about
            continue


def wait_deaf() -> None:
    """A library's code, to which no signal gets through."""
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGALRM})
    time.sleep(1000)


HANGS = {
    "in code that catches every error": lambda *given: catch_everything(),
    "in Python": lambda *given: time.sleep(1000),
    "in the lake": wait_in_the_lake,
    "in a library that hears no signal": lambda *given: wait_deaf(),
}

OTHER_HANGS = ("in Python", "in code that catches every error", "in a library that hears no signal")


@pytest.mark.parametrize("how", ["in the lake", *(pytest.param(how, marks=pytest.mark.soak) for how in OTHER_HANGS)])
def test_a_night_that_hangs_is_stopped_and_its_pipeline_is_free(how: str, begun: Tiny) -> None:
    heard = how != "in a library that hears no signal"  # and then it must have come there
    plan = begun.home / "limited.yaml"
    plan.write_text(yaml.safe_dump(raw_plan(begun.home, {"night_limit": (2 if heard else 20) / 3600})))
    code = forked(hanging, begun.home, how, plan, begun.name(3))
    text = (begun.home / "said.txt").read_text()
    assert code == (2 if heard else nightloop.flows.night_limit.EXIT_CODE), text[-3000:]
    assert "2026-01-04 of tiny took longer than the plan's night_limit of 0.00" in text and "Traceback" not in text
    assert ("its process ends now" in text) is not heard and 3 not in begun.chain()
    if not heard:
        time.sleep(5.5)  # until the lease of the dead process has ended
    said(begun, 0, "night", str(begun.path), "--period", begun.name(3))
    (night,) = [one for index, one in begun.chain().items() if index == 3]
    assert night.outcome == "complete" and not night.failed and "night_limit" not in night.plan


PRESS = """
import os, signal
os.kill(os.getpid(), signal.SIGINT)
for _ in range(1000):
    pass
print("imported", flush=True)
"""
VERB = """
import sys
import nightloop.flows.cli.main as cli
from nightloop.flows.cli.ctrl_c import handle_ctrl_c

@cli.app.command()
def probe() -> None:
    try:
        import press, time
        time.sleep(60)
    except KeyboardInterrupt:
        raise RuntimeError("what a package makes of it") from None

handle_ctrl_c()
sys.argv = ["nightloop", "probe"]
cli.main()
"""


def test_ctrl_c_in_the_middle_of_an_import_waits_for_its_end_and_is_one_sentence_whatever_a_package_makes_of_it(
    tmp_path: Path,
) -> None:
    """Packages in C++ end the process at an exception in the middle of their import; pydantic raises an error of its own."""
    (tmp_path / "press.py").write_text(PRESS)
    words = [sys.executable, "-c", f"import sys; sys.path.insert(0, {str(tmp_path)!r}){VERB}"]
    done = subprocess.run(words, capture_output=True, text=True, timeout=50, cwd=Path(__file__).parents[2])
    assert done.stdout == "imported\n" and done.returncode == EXIT_CODE, done.stderr
    assert done.stderr == "nightloop: interrupted; what was finished is kept, run it again to resume\n"


CLOSING = """
import atexit, os, signal, sys
import nightloop.flows.cli.main as cli
from nightloop.flows.cli.ctrl_c import handle_ctrl_c

@cli.app.command()
def probe(pressed: bool = False) -> None:
    if pressed:
        os.kill(os.getpid(), signal.SIGINT)

def close() -> None:
    print("closing", flush=True)
    os.kill(os.getpid(), signal.SIGINT)

atexit.register(close)
handle_ctrl_c()
cli.main()
"""


@pytest.mark.parametrize("words", [["--pressed"], []], ids=["interrupted", "done"])
def test_ctrl_c_while_a_process_closes_is_no_traceback(words: list[str]) -> None:
    command = [sys.executable, "-c", CLOSING, "probe", *words]
    done = subprocess.run(command, capture_output=True, text=True, timeout=50, cwd=Path(__file__).parents[2])
    assert done.stdout == "closing\n" and done.returncode == -signal.SIGINT, done.stderr
    said = "nightloop: interrupted; what was finished is kept, run it again to resume\n"
    assert done.stderr == (said if words else "")
