"""Race probe: whether conditional writes are atomic. Some S3 servers check the condition first and write later.

One request after the other shows nothing then: two writers that are first at the same moment both succeed. So several
write at once, a few times. A server that passes may still be wrong, but rarely by much.

References: github.com/seaweedfs/seaweedfs/issues/8800, github.com/versity/versitygw/pull/2288.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial

from nightloop.tasks.objects.objects import Objects
from nightloop.tasks.plan.errors import DataError

WRITERS = 8  # at once
ROUNDS = 4


def probe_races(objects: Objects, place: str) -> None:
    """Create and replace one object by several writers at once. Raises DataError if more than one of them succeeds."""
    with ThreadPoolExecutor(WRITERS) as pool:
        for _ in range(ROUNDS):
            key = f"probe/{uuid.uuid4().hex}"
            try:
                wrong = _find_violation(objects, key, pool, partial(objects.create, key), "If-None-Match")
                stored = objects.read(key)
                if stored is not None and not wrong:
                    wrong = _find_violation(objects, key, pool, partial(objects.swap, key, tag=stored[1]), "If-Match")
            finally:
                objects.remove(key)
            if wrong:
                raise DataError(
                    f"{place} does not keep conditional writes apart: {wrong}. Two runs could overwrite each other. Install a release "
                    "of the server that checks and writes in one step (SeaweedFS from 4.18 on), or use another store"
                )


def _find_violation(
    objects: Objects, key: str, pool: ThreadPoolExecutor, write: Callable[[bytes], bool], header: str
) -> str:
    """Write by several at once. Returns what is wrong; empty if one was first, and the store holds its bytes."""
    data = [uuid.uuid4().hex.encode() for _ in range(WRITERS)]
    winners = [own for own, done in zip(data, pool.map(write, data), strict=True) if done]
    stored = objects.read(key)
    if len(winners) == 1 and stored is not None and stored[0] == winners[0]:
        return ""
    return f"of {WRITERS} writers with {header} at the same moment, {len(winners)} succeeded, and 1 may"
