"""Checkpoints in the store: two blobs of safetensors, named by their hashes."""

from __future__ import annotations

from nightloop.tasks.modules.checkpoint import Checkpoint, from_bytes, to_bytes
from nightloop.tasks.objects import blobs
from nightloop.tasks.objects.objects import Objects
from nightloop.tasks.record.manifest import CheckpointRef, TrainedCheckpoint


def save_checkpoint(objects: Objects, checkpoint: Checkpoint, seconds: float) -> TrainedCheckpoint:
    """Store weights and memory. The same checkpoint gets the same names."""
    weights, memory = to_bytes(checkpoint.weights), to_bytes(checkpoint.memory)
    reference = CheckpointRef(weights=blobs.put(objects, weights), memory=blobs.put(objects, memory))
    return TrainedCheckpoint(kept=reference, seconds=round(seconds, 3), bytes=len(weights) + len(memory))


def load_checkpoint(objects: Objects, reference: CheckpointRef, period: int) -> Checkpoint:
    """Load a checkpoint. Its bytes are verified before they are parsed. Raises as `blobs.get` does."""
    weights = from_bytes(blobs.get(objects, reference.weights))
    return Checkpoint(period, weights, from_bytes(blobs.get(objects, reference.memory)))
