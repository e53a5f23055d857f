"""What a plan expects of its logs: each check with a severity, bands learned from nights that passed."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

Severity = Literal["warn", "block", "off"]


class Expectations(BaseModel):
    """Row rules put a row in quarantine; period rules stop the night (block) or are reported (warn)."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    budget: float = Field(0.05, ge=0, le=1, description="Share of rows that may go to quarantine before the night stops.")
