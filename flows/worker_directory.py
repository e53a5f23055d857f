"""Worker directory: the first step of a deployment's run: it goes to the directory of the worker that started it.

The deployment does not say where its runs work, because each worker has a place of its own.
"""

from __future__ import annotations

import os

from nightloop.flows.cli.processes import note_run

DIRECTORY = "NIGHTLOOP_DIRECTORY"  # environment variable of a worker: where relative paths in plans begin


def enter_worker_directory() -> dict[str, str]:
    """The directory of this worker, for Prefect to go to; nothing if the worker has none. Notes the run in the worker's home."""
    note_run()
    directory = os.environ.get(DIRECTORY, "")
    return {"directory": directory} if directory else {}
