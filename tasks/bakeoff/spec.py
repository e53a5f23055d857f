"""The specification of a bake-off: the entrants, the periods and the metric. Every mistake in it is reported at once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, JsonValue, ValidationError, field_validator

from nightloop.tasks.plan.errors import PlanError, mistake_message
from nightloop.tasks.plan.nearest import nearest
from nightloop.tasks.plan.plan import Part
from nightloop.tasks.plan.safe_text import hide_secrets
from nightloop.tasks.plan.yaml_reader import read_mapping

Kind = Literal["uniform", "popular"]


class BakeoffSpec(BaseModel):
    """What is asked for. All of it may be left out: then the plan's strategies, model and seed are compared."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    strategies: dict[str, Part | None] = Field(
        default_factory=dict, description="Labels of the plan, or new ones with {use, options}; empty: all of the plan."
    )
    models: dict[str, Part | None] = Field(
        default_factory=dict, description="Names of models, or labels with {use, options}; empty: the plan's."
    )
    seeds: tuple[int, ...] = Field((), description="Each seed runs every entrant once; empty: the plan's seed.")
    start: str = Field("", description="First period that is scored; empty: the one after the root.")
    end: str = Field("", description="Last period; empty: the newest in the lake.")
    test_periods: tuple[str, ...] = Field((), description="Test periods, names or a..b; empty: all after the tuning.")
    baselines: tuple[str, ...] = Field((), description="Labels to compare with; empty: FineTune and FullRetrain.")
    candidates: Literal["uniform", "popular", "both"] = "uniform"
    popular_negatives: int = Field(99, ge=1, le=100_000, description="Negatives a row if they are drawn by popularity.")
    tune: dict[str, dict[str, tuple[JsonValue, ...]]] = Field(
        default_factory=dict, description="By label the values of options to try: {training.lr: [0.02, 0.1]}."
    )
    tune_periods: tuple[str, ...] = Field((), description="Periods to choose on, names or a..b; all before the test.")
    metric: str = Field("auto", description="The leading metric: recall@K, ndcg@K or logloss; auto: the gate's.")

    @field_validator("strategies", "models", mode="before")
    @classmethod
    def _labels(cls, given: object) -> object:
        """A list of names is a mapping of names to nothing."""
        return dict.fromkeys(given) if isinstance(given, list | tuple) else given

    @field_validator("start", "end", mode="before")
    @classmethod
    def _name(cls, given: object) -> object:
        """YAML reads 2026-01-07 as a date and 12 as a number; both name a period."""
        return str(given) if isinstance(given, date | int) and not isinstance(given, bool) else given

    @field_validator("test_periods", "tune_periods", mode="before")
    @classmethod
    def _names(cls, given: object) -> object:
        several = given if isinstance(given, list | tuple) else [given]
        return tuple(cls._name(name) for name in several)

    @property
    def kinds(self) -> tuple[Kind, ...]:
        """The tables of candidates that are asked for."""
        return ("uniform", "popular") if self.candidates == "both" else (self.candidates,)


@hide_secrets()
def load_spec(path: str, options: Mapping[str, Any]) -> BakeoffSpec:
    """The specification in a YAML file (no path: an empty one), with `options` that were given put over it.

    The fields stand at the top of the file or under `bakeoff:`. Raises FileNotFoundError if there is no file, and one
    PlanError that lists every mistake of form.
    """
    raw = _raw(path) if path else {}
    given = {name: value for name, value in options.items() if value not in (None, "", (), [], {})}
    try:
        return BakeoffSpec.model_validate({**raw, **given})
    except ValidationError as error:
        mistakes = [_sentence(e) for e in error.errors(include_url=False)]
        raise spec_error(mistakes) from error


def _raw(path: str) -> dict[str, Any]:
    if not Path(path).is_file():
        raise FileNotFoundError(
            f"no file {path[:200]!r}: the specification of a bake-off is a YAML file; or leave it out"
        )
    raw = read_mapping(Path(path), "a bake-off's specification", ", ".join(BakeoffSpec.model_fields))
    inner = raw.get("bakeoff", raw)
    if not isinstance(inner, dict):
        raise PlanError(f"{path}: bakeoff is {inner!r:.80}; it is a mapping of {', '.join(BakeoffSpec.model_fields)}")
    return inner


def _sentence(error: Any) -> str:
    where = ".".join(str(part) for part in error["loc"] if part not in ("Part",)) or "the specification"
    if error["type"] == "extra_forbidden":
        allowed = BakeoffSpec.model_fields if len(error["loc"]) == 1 else Part.model_fields
        return f"{where}: unknown field{nearest(str(error['loc'][-1]), allowed)}; allowed here: {', '.join(allowed)}"
    message = mistake_message(error)
    return f"{where}: given {error.get('input')!r:.80}; {message[:1].lower()}{message[1:]}"


def spec_error(mistakes: Sequence[str]) -> PlanError:
    """One error that lists every mistake."""
    listed = "\n".join(f"  - {mistake}" for mistake in dict.fromkeys(mistakes))
    return PlanError(f"the bake-off has {len(mistakes)} mistake{'s' * (len(mistakes) > 1)}; nothing was run:\n{listed}")
