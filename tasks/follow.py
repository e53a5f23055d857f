"""Follow: let the live champion follow a night that is finished."""

from __future__ import annotations

from tasks.open import open_store
from tasks.orchestration import task
from tasks.store.manifest import Manifest
from tasks.store.promotions import follow


@task("move the champion {manifest.name}")
def move_champion(manifest: Manifest, when: str) -> str:
    """Let the live champion follow the night; again, or after a crash, it makes sure that it did. Returns who serves."""
    moved = follow(open_store(), manifest, when)
    return f"{moved.strategy} of {moved.name}" if moved else "unchanged"
