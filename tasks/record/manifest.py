"""Manifest: the immutable record of one night. It is written last; a night exists if its manifest exists."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Final, Literal

from pydantic import Field, JsonValue

from nightloop.tasks.plan.frozen import Frozen
from nightloop.tasks.plan.plan import canonical_json

FORMAT: Final = 2
CHAMPION = "@champion"  # the scores of the champion; no strategy can have this name


class PeriodLogs(Frozen):
    """One version of one period's logs in the lake, as the night read it."""

    period: int
    version: int
    digest: str  # of the clean rows, whatever their order
    rows: int  # clean ones
    quarantined: int
    landed: str = Field(
        "", exclude_if=lambda text: not text
    )  # digest of all rows that landed; empty in nights of older releases


class PeriodValidation(Frozen):
    """The outcome of validation, and the statistics from which later nights compute their bands."""

    verdict: Literal["passed", "warned", "blocked", "overridden"]
    reasons: tuple[str, ...]
    statistics: dict[str, float]
    blob: str  # the table for people and the Great Expectations result, as JSON


class StrategyScores(Frozen):
    """The prequential scores of one strategy: its checkpoint of yesterday on this period."""

    blob: str  # per-interaction results, safetensors
    means: dict[str, float]


class CheckpointRef(Frozen):
    """A checkpoint in the store: two safetensors blobs by their SHA-256."""

    weights: str
    memory: str


class ChampionRef(Frozen):
    """A champion: one strategy's checkpoint of one night."""

    strategy: str
    period: int
    checkpoint: CheckpointRef


class StrategyVerdict(Frozen):
    """The gate's verdict on one challenger, in words and numbers."""

    verdict: Literal["promote", "hold", "reject", "insufficient_evidence"]
    reasons: tuple[str, ...]
    numbers: dict[str, JsonValue]


class RivalEvidence(Frozen):
    """What the nights since the champion's strategy began to serve say about one rival. Gains are in standard errors."""

    share: float  # its part of the probability of a false promotion that the term may spend
    nights: int = 0
    total: float = 0.0  # of the gains of the nights
    squares: float = 0.0
    overlap: float = 0.0  # sum of the correlations of a night with the night before, because of the same users
    overlaps: int = 0  # how many were summed
    prior_nights: float = 0.0  # degrees of freedom of what was known about the variance when it joined
    prior_squares: float = 0.0


class TermEvidence(Frozen):
    """The gate's evidence since the champion's strategy began to serve, carried from night to night."""

    champion: str | None  # the strategy
    metric: str
    min_gain: float
    initial: int = 0  # rivals that were there when it began
    ended: tuple[int, ...] = ()  # the periods before which earlier terms ended, of the last year
    prior_nights: float = 0.0  # what earlier terms say of the variance between nights
    prior_squares: float = 0.0
    rivals: dict[str, RivalEvidence] = Field(default_factory=dict)


class TakenPart(Frozen):
    """A part of what users took: a blob of distinct pairs of user and item."""

    blob: str
    pairs: int


class TrainingFailure(Frozen):
    """Why a strategy did not learn in a night. It keeps its last checkpoint and joins again the next night."""

    kind: Literal["failed", "error"]  # it could not learn from these rows, or it raised an unexpected error
    reason: str


class TrainedCheckpoint(Frozen):
    """A checkpoint that was trained, with its training time and its size."""

    kept: CheckpointRef
    seconds: float
    bytes: int  # of weights and memory together
    failed: TrainingFailure | None = None  # why this is an earlier night's checkpoint


class Manifest(Frozen):
    """Everything that a night produced. It does not depend on the clock or the machine: a repeated run has the same bytes."""

    format: Literal[2] = FORMAT
    pipeline: str
    period: int
    name: str  # of the period
    revision: int  # 1, and one more each time the night is run again with another result
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
    taken: tuple[TakenPart, ...] = Field(
        (), exclude_if=lambda parts: not parts
    )  # what users took; empty if recommendations do not leave it out
    last_act: int = 0  # number of the newest entry by hand that the night knew; 0: none
    evidence: TermEvidence | None = None  # None: at a root, and in nights of releases that did not carry it

    @property
    def data(self) -> bytes:
        """The bytes that are stored."""
        return canonical_json(self.model_dump(mode="json", exclude=None if self.evidence else {"evidence"}))

    @property
    def hash(self) -> str:
        """SHA-256 of the stored bytes: the manifest's name in its successor and in the champion pointer."""
        return hashlib.sha256(self.data).hexdigest()


def failed_in(trained: Mapping[str, TrainedCheckpoint]) -> dict[str, TrainingFailure]:
    """The strategies that did not learn in this night, and why."""
    return {label: result.failed for label, result in trained.items() if result.failed}
