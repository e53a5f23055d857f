"""The scored rows of a period as they are stored, read without torch."""

from __future__ import annotations

from safetensors.numpy import load

from nightloop.tasks.evaluation.ranking_metrics import Numbers
from nightloop.tasks.plan.errors import DataError


def rows_from_bytes(data: bytes) -> dict[str, Numbers]:
    """The columns of stored scored rows. Raises DataError if the bytes are not whole safetensors."""
    try:
        return dict(load(data))
    except Exception as error:
        raise DataError(f"these {len(data)} bytes are not a safetensors file: {error}") from error
