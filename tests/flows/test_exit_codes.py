"""How a verb ends that failed: a mistake is a sentence and exit code 2, a fault is a traceback and exit code 70."""

from __future__ import annotations

import errno
import json
import logging
import os
from collections.abc import Callable

import httpx
import pytest

import nightloop.flows.status
from nightloop.flows.cli.main import main
from nightloop.flows.cli.output import fail
from nightloop.tasks.plan.errors import ConflictError, DataError, NightloopError, NotReady, PlanError, StoreError

Fails = Callable[..., int]


@pytest.fixture
def fails(monkeypatch: pytest.MonkeyPatch) -> Fails:
    """Has `nightloop status simulated` raise an error. Returns its exit code."""

    def status(error: BaseException, debug: bool = False) -> int:
        def raises(plan: str, on: str) -> None:
            raise error

        monkeypatch.setattr(nightloop.flows.status, "status", raises)
        words = ["--debug"] if debug else []
        monkeypatch.setattr("sys.argv", ["nightloop", *words, "status", "simulated", "--json"])
        with pytest.raises(SystemExit) as ended:
            main()
        logging.getLogger("nightloop").setLevel(logging.NOTSET)
        return int(ended.value.code or 0)

    return status


@pytest.mark.parametrize(
    "error",
    [
        PlanError("seed: given -1"), DataError("seed: given -1"), ConflictError("seed: given -1"),
        StoreError("seed: given -1"), NotReady("seed: given -1"), OSError("seed: given -1"), MemoryError("seed: given -1"),
    ],
    ids=lambda error: type(error).__name__,
)  # fmt: skip
def test_a_mistake_is_one_sentence(fails: Fails, error: Exception, capsys: pytest.CaptureFixture[str]) -> None:
    assert fails(error) == 2
    said = capsys.readouterr()
    assert said.err == "nightloop: seed: given -1\n" and json.loads(said.out) == {"error": "seed: given -1"}


def test_debug_shows_where_a_mistake_was_found(fails: Fails, capsys: pytest.CaptureFixture[str]) -> None:
    assert fails(PlanError("seed: given -1"), debug=True) == 2
    said = capsys.readouterr().err
    assert "Traceback" in said and said.endswith("nightloop: seed: given -1\n")


@pytest.mark.parametrize(
    "error",
    [ValueError("shape"), KeyError("table.user"), IndexError(7), RuntimeError("mat1 and mat2"), TypeError("no"), AttributeError("x")],
    ids=lambda error: type(error).__name__,
)  # fmt: skip
def test_a_fault_is_a_traceback(fails: Fails, error: Exception, capsys: pytest.CaptureFixture[str]) -> None:
    error.args = (f"{error.args[0]} of postgresql://u:hunter2@h/d",)
    assert fails(error) == 70
    said = capsys.readouterr()
    assert "Traceback" in said.err and "in raises" in said.err and "report it with the lines above" in said.err
    assert type(error).__name__ in json.loads(said.out)["error"] and "hunter2" not in said.err + said.out


def test_a_prefect_server_that_is_away_is_no_fault(fails: Fails, capsys: pytest.CaptureFixture[str]) -> None:
    import prefect.exceptions  # noqa: F401 - a verb that talks to a server has imported it

    assert fails(httpx.ConnectError("connection refused")) == 2
    assert capsys.readouterr().err == "nightloop: Prefect's API cannot be reached: connection refused\n"


def test_a_type_of_ours_is_what_callers_caught_before() -> None:
    kinds = {PlanError: ValueError, DataError: ValueError, ConflictError: RuntimeError, StoreError: OSError}
    for ours, builtin in {**kinds, NotReady: LookupError}.items():
        assert issubclass(ours, builtin) and issubclass(ours, NightloopError)


@pytest.mark.parametrize(
    ("error", "advice"),
    [
        (OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)), "The disk is full: free space and run it again"),
        (DataError('Failed to execute query "COMMIT": database or disk is full'), "full. The disk is full: free space"),
        (
            OSError(errno.EROFS, os.strerror(errno.EROFS), "/home/lake"),
            "read-only: make it writable, or set NIGHTLOOP_HOME",
        ),
        (OSError(errno.ENOSPC, "the store is full; free space"), "the store is full; free space\n"),
    ],
)
def test_what_a_disk_says_comes_with_what_to_do(
    error: OSError, advice: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        fail(error)
    assert advice in capsys.readouterr().err


@pytest.mark.parametrize(
    "words", [["up", "--port", "99999"], ["up", "--port", "0"], ["worker", "--health-port", "65536"]]
)
def test_a_port_that_does_not_exist_is_a_mistake(
    words: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.argv", ["nightloop", *words])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 2 and "Invalid value for '--" in capsys.readouterr().err
