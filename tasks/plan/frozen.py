"""The base of values that are read from files: no unknown field, no change after they are made."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class Frozen(BaseModel):
    """A value: no unknown field, no number that JSON does not have, no change after it is made."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)
