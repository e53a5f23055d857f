"""Torchrun: what a verb does in the processes that torchrun starts."""

from __future__ import annotations

import os
import sys

import typer

from nightloop.tasks.plan.errors import PlanError
from nightloop.tasks.plan.settings import Settings, torchrun_rank

TRAINING = ("night", "backfill")  # verbs in which the processes train together


def follow_first_process(context: typer.Context) -> None:
    """In every process but the first: train what the first one trains, and end. It alone runs flows, writes and tells.

    Raises PlanError if a verb is to train and the settings do not say that the processes train together.
    """
    rank, trains = torchrun_rank(), context.invoked_subcommand in TRAINING
    if rank is None or (rank == 0 and not trains):
        return
    if trains:
        if (runner := Settings().runner) != "torchrun":
            raise PlanError(f"NIGHTLOOP_RUNNER: given {runner!r}; torchrun started this process: set it to torchrun")
        if rank == 0:
            context.call_on_close(_release_others)
            return
        from nightloop.tasks.runner import follow

        follow()
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    os._exit(0)  # nothing is left to do; libraries that end their own threads could turn the success into a failure


def _release_others() -> None:
    """Let the others end, if the verb succeeded and has trained nothing with them. If it failed, torchrun ends them."""
    error = sys.exception()
    if error is None or isinstance(error, typer.Exit):
        from nightloop.tasks.runner import release

        release()
