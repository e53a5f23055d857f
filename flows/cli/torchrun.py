"""Torchrun: what a verb does in the processes that torchrun starts beside the first."""

from __future__ import annotations

import os
import sys

from nightloop.tasks.plan.settings import torchrun_rank

TRAINING = ("night", "backfill")  # verbs in which the processes train together


def follow_first_process(verb: str) -> None:
    """In every process but the first: train what the first one trains, and end. It alone runs flows, writes and tells."""
    if not torchrun_rank():
        return
    if verb in TRAINING:
        from nightloop.tasks.runner import follow

        follow()
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    os._exit(0)  # nothing is left to do; libraries that end their own threads could turn the success into a failure
