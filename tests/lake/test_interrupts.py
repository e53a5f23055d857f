"""Interrupts: Ctrl-C, a cancel and the limit of a night, while a statement runs in its thread."""

from __future__ import annotations

import os
import signal
import threading
import time

import pytest

from nightloop.tasks.lake.retry import interruptible
from nightloop.tasks.validation.gx import import_in_background


def _press(*seconds: float) -> None:
    for pause in seconds:
        threading.Timer(pause, os.kill, (os.getpid(), signal.SIGINT)).start()


def test_a_second_ctrl_c_waits_for_the_statement_too() -> None:
    """Else the main thread closes a connection whose statement reads Python's rows, and both wait for ever."""
    ended = []

    def ask() -> None:
        time.sleep(0.6)
        ended.append(True)

    _press(0.1, 0.2, 0.3)
    with pytest.raises(KeyboardInterrupt):
        interruptible(ask, lambda: None)
    assert ended
    assert interruptible(lambda: 1, lambda: None) == 1


def test_an_interrupt_inside_a_lock_of_python_does_not_stop_later_statements() -> None:
    """Python leaves the lock locked. Once in some thousand Ctrl-C the next statement, and the end of the process, waited for ever."""
    child = os.fork()
    if not child:
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
        signal.alarm(20)  # ends a fork that waits
        enter = threading.Condition.__enter__

        def interrupted(condition: threading.Condition) -> bool:
            entered = enter(condition)
            if threading.current_thread() is threading.main_thread():
                raise KeyboardInterrupt
            return entered

        setattr(threading.Condition, "__enter__", interrupted)  # noqa: B010
        try:
            interruptible(lambda: 1, lambda: None)
        except KeyboardInterrupt:
            setattr(threading.Condition, "__enter__", enter)  # noqa: B010
        os._exit(0 if interruptible(lambda: 2, lambda: None) == 2 else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def test_a_process_that_ends_while_great_expectations_is_imported_is_not_aborted(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Ctrl-C during a landing ended with "Fatal Python error" and exit code 134 in place of 130."""
    started = list[threading.Thread]()
    monkeypatch.setattr(threading.Thread, "start", lambda thread: started.append(thread))
    import_in_background()
    assert [thread.daemon for thread in started] == [False]
