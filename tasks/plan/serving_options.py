"""Serving options: what a plan says about what is served between two nights."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from nightloop.tasks.plan.bounds import ROWS
from nightloop.tasks.plan.frozen import Frozen


class Serving(Frozen):
    """What happens to the state of correctors when a new champion serves, and to rows that wait for labels."""

    on_new_champion: Literal["replay", "keep", "drop"] = Field(
        "replay",
        description="replay: the newest labelled rows are scored by the new model and learned again (exact); keep: the "
        "old memory answers until the new one has `warmup_rows`; drop: begin with nothing.",
    )
    replay_rows: int = Field(20_000, ge=0, le=ROWS, description="Newest labelled rows that are kept for a replay.")
    warmup_rows: int = Field(1_000, ge=1, le=ROWS, description="Labelled rows after which a kept memory retires.")
    exclude_taken: bool | None = Field(
        None, exclude_if=lambda given: given is None,
        description="Whether recommendations leave out what the user took up to the night of the champion; for rankings. "
        "If it is not given: unless `ranking.repeats` is true, so that what was evaluated is served.",
    )  # fmt: skip
    max_pending_rows: int = Field(
        200_000, ge=1, le=ROWS, description="Most rows that wait for their labels; the oldest requests go first."
    )
