"""Snapshot: what a server has learned and still waits for, as bytes, so that a restart continues from it."""

from __future__ import annotations

import json
import logging
from collections.abc import Sequence

import torch
from torch import Tensor

from nightloop.tasks.correction.chain import restore_chain
from nightloop.tasks.modules.checkpoint import from_bytes, pack, to_bytes, unpack
from nightloop.tasks.objects.checksum import seal
from nightloop.tasks.objects.key_names import checked_pipeline
from nightloop.tasks.objects.objects import Objects, swap_or_create
from nightloop.tasks.objects.sealed_record import read_sealed
from nightloop.tasks.serving.online_learning import Learning

log = logging.getLogger(__name__)


def take_snapshot(learning: Learning) -> bytes:
    """What was learned, and what is waited for, as it is now."""
    return seal(to_bytes(_tensors(learning)))


def save(objects: Objects, pipeline: str, server: str, data: bytes) -> bool:
    """Write a snapshot over the one before; False if another server of this name did so at the same time."""
    key = snapshot_key(pipeline, server)
    current = objects.read(key)
    return swap_or_create(objects, key, data, current[1] if current else "")


def load_snapshot(objects: Objects, pipeline: str, server: str, learning: Learning) -> bool:
    """Let `learning` continue from the snapshot; False if there is none.

    A snapshot about another model than the one that serves now is treated as a new champion is. A damaged one is
    ignored with a warning: the next labels teach the same again.
    """
    key = snapshot_key(pipeline, server)
    try:
        data = read_sealed(objects, key)
        if data is None:
            return False
        _restore(learning, from_bytes(data))
    except (ValueError, KeyError, TypeError) as error:
        log.warning("%s: the snapshot of %s is not used: %s", pipeline, server, error)
        return False
    return True


def snapshot_key(pipeline: str, server: str) -> str:
    """Where the snapshot of a server is kept: beside the chain, never part of it."""
    return f"pipelines/{checked_pipeline(pipeline)}/serving/{checked_pipeline(server)}.memory"


def _tensors(learning: Learning) -> dict[str, Tensor]:
    with learning.lock:  # what is changed in place is copied; rows and pages are only ever added
        now, seen = learning.now, learning.now.seen
        chain, recent, labelled = now.chain.snapshot(), list(learning.recent), learning.labelled
        pages = learning.pending.items()
    head = json.dumps({"version": now.version, "seen": seen, "labelled": labelled})
    return {
        **pack("chain", chain),
        "head": _encode_lines([head]),
        "recent": _encode_lines([json.dumps(row, default=str) for row in recent]),
        "pages": _encode_lines([page.to_json(request) for request, page in pages]),
    }


def _restore(learning: Learning, tensors: dict[str, Tensor]) -> None:
    (head,) = map(json.loads, _decode_lines(tensors["head"]))
    recent = [
        ((row[0], row[1], row[2]), float(label)) for row, label in map(json.loads, _decode_lines(tensors["recent"]))
    ]
    now = learning.now
    if head["version"] == now.version:
        now.chain, now.seen = restore_chain(now.chain, now.version, unpack("chain", tensors)), head["seen"]
    elif learning.rules.on_new_champion == "replay":
        learning.replay(now, recent)
    learning.recent.extend(recent)
    learning.labelled = head["labelled"]
    learning.pending.read(_decode_lines(tensors["pages"]))


def _encode_lines(lines: Sequence[str]) -> Tensor:
    return torch.frombuffer(bytearray("\n".join(lines).encode() or b"\n"), dtype=torch.uint8)


def _decode_lines(words: Tensor) -> list[str]:
    return [line for line in words.numpy().tobytes().decode().split("\n") if line]
