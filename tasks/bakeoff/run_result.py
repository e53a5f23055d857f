"""The result of one replay: one strategy, model and seed. Its rows are a file beside it."""

from __future__ import annotations

from collections.abc import Collection

from pydantic import BaseModel, ConfigDict
from torch import Tensor

from nightloop.tasks.evaluation.summary import Rows
from nightloop.tasks.modules.checkpoint import Weights, from_bytes, unpack
from nightloop.tasks.objects import blobs
from nightloop.tasks.objects.objects import Objects
from nightloop.tasks.plan.leading_metric import CATALOGUE

CLICKS = "clicks"  # the kind of rows that are not ranked against candidates


class RunResult(BaseModel):
    """Of one cell. Seconds are wall-clock of learning alone, without reading or scoring."""

    model_config = ConfigDict(frozen=True)

    rows: str = ""  # blob: every scored period of every kind
    failed: str = ""  # why it ended early; empty: it did not
    failed_at: int = -1  # the period
    stopped_at: int = -1  # the period after which a hopeless trial of a search ended; -1: it ran to its end
    seconds: dict[int, float] = {}  # of learning each period after the root
    start_seconds: float = 0.0  # of the strategy's start at the root
    weights_bytes: int = 0  # of the last checkpoint
    memory_bytes: int = 0
    peak: int = 0  # bytes the cell's process held at most
    idle: int = 0  # bytes it held before it began
    candidates: dict[str, str] = {}  # beginning of SHA-256 of each file of candidates, by kind/period

    @property
    def state(self) -> int:
        """Bytes of weights and memory."""
        return self.weights_bytes + self.memory_bytes

    @property
    def working(self) -> int:
        """Bytes of memory that the replay took at most, above what the idle process held."""
        return max(self.peak - self.idle, 0)


def scored_rows_of(objects: Objects, outcome: RunResult, periods: Collection[int] | None = None) -> Weights:
    """The scored rows that a cell stored, of all periods if none are named; none if it failed."""
    rows = from_bytes(blobs.get(objects, outcome.rows)) if outcome.rows else {}
    return {name: rows[name] for name in rows if periods is None or int(name.split("/")[1]) in periods}


def rows_folder(period: int, kind: str) -> str:
    """Where the rows of a period are in the file."""
    return f"{kind}/{period:06d}"


def unpack_scored_period(tensors: Weights, period: int, kind: str) -> dict[str, Tensor]:
    """The scored period of one kind; empty if it was not scored."""
    return unpack(rows_folder(period, kind), tensors)


def mean_user_rows(rows: Rows) -> dict[str, Tensor]:
    """The same rows as they would be ranked if every user had the mean user vector; empty if that was not measured.

    Against the catalogue that is not measured.
    """
    if "mean_above" not in rows:
        return {}
    measured = {name: column for name, column in rows.items() if not name.startswith(CATALOGUE)}
    return {**measured, "above": rows["mean_above"], "equal": rows["mean_equal"]}
