"""Manifest: the immutable record of one night, the last thing that is written; a night exists when it exists."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Final, Literal

from pydantic import Field, JsonValue

from nightloop.tasks.plan.frozen import Frozen
from nightloop.tasks.plan.plan import canonical_json

FORMAT: Final = 2
CHAMPION = "@champion"  # the scores of what really served; no strategy can have this name


class PeriodLogs(Frozen):
    """One version of one period's logs in the lake, as the night read it."""

    period: int
    version: int
    digest: str  # of the clean rows, whatever their order
    rows: int  # clean ones
    quarantined: int


class PeriodValidation(Frozen):
    """The validation's outcome, and the statistics that later nights learn their bands from."""

    verdict: Literal["passed", "warned", "blocked", "overridden"]
    reasons: tuple[str, ...]
    statistics: dict[str, float]
    blob: str  # the readable table and the Great Expectations result, as JSON


class StrategyScores(Frozen):
    """How yesterday's checkpoint of one strategy did on this period, before anyone learned from it."""

    blob: str  # per-interaction results, safetensors
    means: dict[str, float]


class CheckpointRef(Frozen):
    """A checkpoint in the store: two safetensors blobs by their SHA-256."""

    weights: str
    memory: str


class ChampionRef(Frozen):
    """What a champion is: one strategy's checkpoint of one night."""

    strategy: str
    period: int
    checkpoint: CheckpointRef


class StrategyVerdict(Frozen):
    """The gate's verdict on one challenger, in words and numbers."""

    verdict: Literal["promote", "hold", "reject", "insufficient_evidence"]
    reasons: tuple[str, ...]
    numbers: dict[str, JsonValue]


class TrainingFailure(Frozen):
    """Why a strategy did not learn in a night. It keeps its last checkpoint and joins again the next night."""

    kind: Literal["failed", "error"]  # it could not learn from these rows, or it broke in a way that nobody expects
    reason: str


class TrainedCheckpoint(Frozen):
    """A checkpoint that was made, and what making and keeping it took."""

    kept: CheckpointRef
    seconds: float
    bytes: int  # of weights and memory together
    failed: TrainingFailure | None = None  # why it is an earlier night's checkpoint


class Manifest(Frozen):
    """All that a night made. Nothing in it depends on the clock or the machine: run again, it is the same bytes."""

    format: Literal[2] = FORMAT
    pipeline: str
    period: int
    name: str  # of the period
    revision: int  # 1, and one more each time the night is mended
    previous: str | None  # hash of the predecessor's manifest; None: an explicit root
    outcome: Literal["complete", "blocked", "skipped"]
    reason: str  # why it was skipped or overridden; empty otherwise
    plan: dict[str, JsonValue]
    logs: tuple[PeriodLogs, ...]  # one period, or all of the root's history
    validated: tuple[PeriodValidation, ...]  # one for each of `logs`
    vocabulary: str | None  # blob; None where blocked
    served: ChampionRef | None  # who served this period
    scores: dict[str, StrategyScores]
    checkpoints: dict[str, CheckpointRef]
    judged: dict[str, StrategyVerdict]
    verdict: Literal["promote", "hold", "reject", "insufficient_evidence"]  # the night's
    champion: ChampionRef | None  # who serves the next one
    failed: dict[str, TrainingFailure] = Field(
        default_factory=dict
    )  # by strategy; its entry in `checkpoints` is an earlier night's
    last_act: int = 0  # newest entry by hand that the night knew; 0: none

    @property
    def data(self) -> bytes:
        """The bytes that are stored."""
        return canonical_json(self.model_dump(mode="json"))

    @property
    def hash(self) -> str:
        """SHA-256 of the stored bytes: the manifest's name in its successor and in the champion pointer."""
        return hashlib.sha256(self.data).hexdigest()


def failed_in(trained: Mapping[str, TrainedCheckpoint]) -> dict[str, TrainingFailure]:
    """The strategies that did not learn in this night, and why."""
    return {label: one.failed for label, one in trained.items() if one.failed}
