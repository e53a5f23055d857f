"""Move champion: let the live champion be the one that a finished night chose.

It does not move if a person has acted since the night's decision, if a later night moved it already, or if the night of the
chosen checkpoint was run again since (`follow_chain` in `record/promotions.py`).
"""

from __future__ import annotations

from nightloop.tasks.orchestration import task
from nightloop.tasks.record.manifest import Manifest
from nightloop.tasks.record.promotions import follow_chain
from nightloop.tasks.resources import open_store


@task("move the champion {manifest.name}")
def move_champion(manifest: Manifest, when: str) -> str:
    """Let the live champion follow the night. It is safe to repeat, also after a crash. Returns the new champion."""
    moved = follow_chain(open_store(), manifest, when)
    return f"{moved.strategy} of {moved.name}" if moved else "unchanged"
