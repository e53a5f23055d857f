"""Ctrl-C: when it interrupts a verb, and whether it did. Read before all other modules, so it imports little."""

from __future__ import annotations

import signal
import threading
from types import FrameType

PAUSE = 0.1  # seconds after which an interrupt that came in the middle of an import is sent again
_PRESSED = threading.Event()


def handle_ctrl_c() -> None:
    """Let `interrupt` handle Ctrl-C, unless the caller of this process ignores it, as `nohup` does."""
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, interrupt)


def interrupt(number: int, frame: FrameType | None) -> None:
    """Raise KeyboardInterrupt, as Python does, but not in the middle of an import: some packages in C++ end the process then."""
    while frame is not None:
        if frame.f_code.co_filename == "<frozen importlib._bootstrap>":
            # To the main thread: a signal that another thread receives does not end the main thread's sleep.
            again = threading.Timer(PAUSE, signal.pthread_kill, (threading.main_thread().ident, number))
            again.daemon = True
            again.start()
            return
        frame = frame.f_back
    _PRESSED.set()
    raise KeyboardInterrupt


def end_at_next_ctrl_c() -> None:
    """Let the next Ctrl-C end this process at once: its verb has ended, and an interrupt of what closes it is a traceback."""
    if signal.getsignal(signal.SIGINT) is interrupt:
        signal.signal(signal.SIGINT, signal.SIG_DFL)


def was_pressed() -> bool:
    """Whether this process was interrupted. Some packages turn the interrupt into an error of their own."""
    return _PRESSED.is_set()
