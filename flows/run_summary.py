"""Run summary: what a run of nights says of them, one line a night, also if it ends early."""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from nightloop.tasks.orchestration import failed, run
from nightloop.tasks.plan.errors import error_message
from nightloop.tasks.plan.load import as_given
from nightloop.tasks.plan.safe_text import safe_text
from nightloop.tasks.record.manifest import Manifest
from nightloop.tasks.reports.format import plain, plural
from nightloop.tasks.reports.verdict import sentence

log = logging.getLogger(__name__)


def summarize(done: Sequence[Manifest], live: bool = True, remark: str = "") -> list[str]:
    """One line a night. A failed state if validation stopped the last one, so that an alert is sent.

    Without `live` the nights were replayed and moved no champion. `remark`: what is known of the last one's logs.
    """
    lines = [sentence(manifest, live) for manifest in done]
    if not done or done[-1].outcome != "blocked":
        return lines
    last = done[-1]
    reasons = [plain(last.reason, 900), *([plain(remark, 600)] if remark else [])]
    skip = "" if last.previous is None else ' (or --skip "why")'  # the root cannot be skipped
    stopped: list[str] = failed(
        f"{last.name} of {last.pipeline} was stopped by validation: {'. '.join(reasons)}. Correct the source and run the "
        f'night again, or decide: nightloop night {as_given(last.pipeline)} --period {last.name} --accept "why"{skip}'
    )
    return stopped


@contextmanager
def report_early_end(done: Sequence[Manifest], planned: Sequence[int], live: bool = True) -> Iterator[None]:
    """If a run of nights ends early: say which are done, and that it can be resumed. `live`: as in `summarize`."""
    try:
        yield
    except BaseException as error:
        for manifest in done:
            _say(sentence(manifest, live))
        resume = f"after {len(done)} of {plural(len(planned), 'night')}; run it again to resume"
        if isinstance(error, KeyboardInterrupt):
            raise KeyboardInterrupt(f"interrupted {resume}") from None
        _say(f"stopped {resume}")
        raise


@contextmanager
def undrawn_report_warns(pipeline: str) -> Iterator[None]:
    """A block that draws a report. If that fails it is a warning: what the run was for is done, and recorded."""
    try:
        yield
    except Exception as error:
        log.warning("the run is done; the report of %s was not drawn: %s", pipeline, error_message(error))


def _say(line: str) -> None:
    """Print a line on stderr. If Prefect runs the flow, log it instead."""
    if run().prefect:
        log.warning("%s", line)
    else:
        sys.stderr.write(f"{safe_text(line)}\n")
