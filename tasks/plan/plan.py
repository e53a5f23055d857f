"""The Plan: what a pipeline does, in one frozen value that every manifest carries.

*What* is here, *where* is in `settings.py`. No setting may change a result; if it can, it belongs in the plan.
"""

from __future__ import annotations

import hashlib
import json
from datetime import datetime
from typing import Literal

from pydantic import Field, JsonValue, field_validator, model_validator

from nightloop.tasks.plan.bounds import bounds_in_words, is_whole
from nightloop.tasks.plan.errors import PlanError
from nightloop.tasks.plan.expectations import Expectations
from nightloop.tasks.plan.frozen import Frozen
from nightloop.tasks.plan.leading_metric import CATALOGUE, leading_metric
from nightloop.tasks.plan.plan_times import calendar_mistakes, cron_mistake, format_mistake
from nightloop.tasks.plan.redact import redacted_head
from nightloop.tasks.plan.serving_options import Serving


class Part(Frozen):
    """A plug-in by its entry-point name, with the options of its constructor."""

    use: str = Field(description="Name of the plug-in, as `nightloop doctor` lists it.")
    options: dict[str, JsonValue] = Field(default_factory=dict, description="Its hyper-parameters by name.")


class Columns(Frozen):
    """Which column of the source plays which role."""

    user: str = Field(min_length=1)
    item: str = Field(min_length=1)
    time: str = Field(min_length=1)
    time_unit: Literal["auto", "s", "ms", "us", "ns", "days", "text"] = "auto"
    time_format: str = Field(
        "",
        description="How times are written, as strptime has it: %d.%m.%Y %H:%M. Empty: numbers by their unit, and usual texts.",
    )
    label: str | None = Field(None, description="0/1 outcome; none: every row is a positive (ranking).")
    categorical: tuple[str, ...] = ()
    numeric: tuple[str, ...] = ()
    logged_probability: str | None = Field(
        None, description="Probability, 0 to 1, that was served for the row, where one was logged; with a label only."
    )
    min_count: int = Field(
        0,
        ge=0,
        description="A category's value seen fewer times shares one id with its field's other rare values; 0: every value has its own.",
    )
    multi_value: dict[str, int] = Field(
        default_factory=dict, description="Categorical columns whose rows hold lists, or text with | between the values: "
        "how many values of a row count at most; models see their mean.",
    )  # fmt: skip
    history_length: int = Field(
        0, ge=0, le=1000, description="Items a user took before a row that models may see; 0: none."
    )
    key: tuple[str, ...] = Field(
        (), description="Source columns that identify a row; empty: user, item and time. Repeats are duplicates."
    )

    @property
    def names(self) -> list[str]:
        """The source's columns that the plan names, once each."""
        maybe = [name for name in (self.label, self.logged_probability) if name]
        named = [self.user, self.item, self.time, *maybe, *self.categorical, *self.numeric, *self.key]
        return list(dict.fromkeys(named))

    @property
    def time_writing(self) -> str:
        """How times are written: a format, which has a %, or a unit."""
        return self.time_format or self.time_unit

    @property
    def rare(self) -> int:
        """How often a category's value may occur and still be rare."""
        return max(self.min_count - 1, 0)

    @property
    def multi_value_fields(self) -> tuple[int, ...]:
        """For each field with several values its number (user is 0, item 1), repeated once for each value it may have."""
        fields = ("user", "item", *self.categorical)
        return tuple(n for n, field in enumerate(fields) for _ in range(self.multi_value.get(field, 0)))

    @property
    def others(self) -> tuple[int, ...]:
        """For user, item and each categorical column the vocabulary row that its rare values share; -1: none."""
        return (-1, -1, *[0 if self.rare else -1] * len(self.categorical))

    @model_validator(mode="after")
    def _check_time_format(self) -> Columns:
        if not self.time_format:
            return self
        if self.time_unit not in ("auto", "text"):
            raise PlanError(f"time_format and time_unit {self.time_unit} both say how times are written: leave one out")
        if mistake := format_mistake(self.time_format):
            raise PlanError(f"time_format {redacted_head(self.time_format, 60)!r} is not valid: {mistake}")
        return self

    @model_validator(mode="after")
    def _check_roles(self) -> Columns:
        for name, most in self.multi_value.items():
            if name not in self.categorical or not 2 <= most <= 100:
                raise PlanError(
                    f"multi_value: given {redacted_head(name, 60)!r}: {most}; it is for categorical columns "
                    f"({', '.join(self.categorical)}) and counts values, 2 to 100"
                )
        if self.logged_probability is not None and self.label is None:
            raise PlanError(
                f"logged_probability {redacted_head(self.logged_probability, 60)!r} needs a label, and there is none: name the "
                "label, or leave logged_probability out"
            )
        return self


class Calendar(Frozen):
    """Periods on the calendar of a time zone: `length` hours, days, weeks or months, or daily `cuts`."""

    every: Literal["hour", "day", "week", "month"] = "day"
    length: int = Field(1, ge=1, le=1_000)
    start: str = Field(description="Local date or time at which period 0 begins: 2026-01-01 or 2026-01-01T04:00.")
    end: str = Field("", description="Local date or time at which a finished history ends; empty: it has no end.")
    timezone: str = "UTC"
    cuts: tuple[str, ...] = Field(
        (), description="Local times that cut every day, such as 10:00, 17:00, 24:00; only with every: day, length: 1."
    )

    @model_validator(mode="after")
    def _check_calendar(self) -> Calendar:
        wrong = calendar_mistakes(self.start, self.timezone, self.cuts)
        if self.end:
            wrong += [w for w in calendar_mistakes(self.end, self.timezone, ()) if w not in wrong]
            if not wrong and datetime.fromisoformat(self.end) <= datetime.fromisoformat(self.start):
                wrong.append(f"end {self.end!r} is not after start {self.start!r}")
        if self.cuts and (self.every, self.length) != ("day", 1):
            wrong.append("cuts are allowed only with every: day and length: 1")
        if not wrong and self.every == "month" and datetime.fromisoformat(self.start).day > 28:
            wrong.append(f"start {self.start!r}: not every month has that day; use a day from 1 to 28")
        if wrong:
            raise PlanError("; ".join(wrong))
        return self


class Counts(Frozen):
    """Periods of equal numbers of rows, in order of (time, user, item); the remainder waits for more rows."""

    rows: int = Field(ge=1, le=10**10)


class Ranking(Frozen):
    """How a ranking is scored: against sampled candidates, and against the whole catalogue."""

    negatives: int = Field(999, ge=1, le=100_000)
    k: tuple[int, ...] = (5, 10, 20)
    catalogue: bool | Literal["sample"] = Field(
        "sample",
        description="Whether rows are ranked against every item seen so far as well: true: every row; sample: as many "
        "rows as take about a second for each checkpoint, all of them if the log is small; false: none.",
    )
    repeats: bool = Field(
        False, exclude_if=lambda on: not on,  # the plans of before are the same as ever
        description="Whether people take an item again: what a user took before is then ranked and recommended as well.",
    )  # fmt: skip

    @field_validator("k")
    @classmethod
    def _check_cutoffs(cls, given: tuple[int, ...]) -> tuple[int, ...]:
        if not 1 <= len(given) <= 20 or not all(is_whole(cutoff, 100_000) for cutoff in given):
            raise PlanError(f"1 to 20 cut-offs are allowed, which are {bounds_in_words(100_000)}")
        return given


class Gate(Frozen):
    """What a challenger must show before it may serve."""

    metric: str = Field(
        "auto",
        description="recall@K, ndcg@K, logloss or auc; auto: logloss, or ndcg at 20 or the largest k. With "
        "ranking.catalogue: true also catalogue_recall@K and catalogue_ndcg@K.",
    )
    alpha: float = Field(
        0.05, ge=0.0001, lt=0.5, description="Chance of any false promotion in 365 nights of looking every night."
    )
    evidence_nights: int = Field(3, ge=1, description="Nights of evidence that a promotion needs.")
    min_gain: float = Field(0.0, ge=0, description="Smallest relative gain worth a change of strategy; 0.01 is 1 %.")
    max_slice_loss: float = Field(
        0.05, ge=0, description="Largest relative loss allowed for new or old users or items, and for each of `slices`."
    )
    slices: tuple[str, ...] = Field(
        (), description="Categorical columns whose ten most frequent values are guarded like new or old users."
    )
    calibration: tuple[float, float] = Field((0.8, 1.25), description="Allowed predicted / observed clicks.")
    resamples: int = Field(1000, ge=100, le=100_000, description="Bootstrap resamples over users.")
    require_approval: bool = Field(False, description="Never move the champion without a person.")

    @field_validator("calibration")
    @classmethod
    def _check_bounds(cls, given: tuple[float, float]) -> tuple[float, float]:
        if not 0 <= given[0] < given[1]:
            raise PlanError("the smallest ratio comes first, 0 or more, and the largest second, above it")
        return given


class Plan(Frozen):
    """Everything that decides what a pipeline's nights contain."""

    pipeline: str = Field(pattern=r"^[a-z0-9][a-z0-9_-]{0,62}$", description="Lower-case letters, digits, - and _.")
    source: Part
    columns: Columns
    periods: Calendar | Counts
    pretrain_periods: int = Field(
        1, ge=1, le=100_000, description="Periods that the pre-training reads, before the first one that is scored."
    )
    pretrain: Part = Field(description="The strategy that makes the weights every strategy starts from.")
    model: Part
    strategies: dict[str, Part] = Field(min_length=1)
    correctors: dict[str, Part] = Field(
        default_factory=dict, description="What corrects click probabilities at serving time, one after the other."
    )
    serving: Serving = Field(default_factory=Serving)
    expectations: Expectations = Field(default_factory=Expectations)
    ranking: Ranking = Field(default_factory=Ranking)
    gate: Gate = Field(default_factory=Gate)
    seed: int = Field(0, ge=0, lt=2**31)
    cron: str = Field(
        "", json_schema_extra={"pattern": r"^(\S+( \S+){4})?$"}, exclude=True,
        description="When the nightly run starts: minute, hour, day, month and weekday in the time zone of the periods. Empty: "
        "two hours after a period closes, a quarter of an hour for periods of hours.",
    )  # fmt: skip
    night_limit: float = Field(
        6.0, gt=0, le=720, exclude=True,  # it changes no result: no manifest keeps it, and a change makes no night run again
        description="Hours that one night may take; then it is stopped, so that its pipeline is free again.",
    )  # fmt: skip

    @field_validator("cron")
    @classmethod
    def _check_cron(cls, given: str) -> str:
        if given and (mistake := cron_mistake(given)):
            raise PlanError(
                f"{redacted_head(given, 60)!r} starts no run: {mistake}; write minute, hour, day, month and weekday, such as 30 4 * * *"
            )
        return given

    @model_validator(mode="after")
    def _check_names(self) -> Plan:
        for field, names in (("strategies", self.strategies), ("correctors", self.correctors)):
            for name in names:
                if not name or len(name) > 63 or not all(c.isalnum() or c in "-_.+" for c in name):
                    raise PlanError(
                        f"{field}: {redacted_head(name, 80)!r} is not a name; use letters, digits and - _ . + (at most 63)"
                    )
        if self.serving.exclude_taken and self.columns.label:
            raise PlanError("serving.exclude_taken: given true for a plan with a label; requests have `exclude`")
        if self.gate.metric.startswith(CATALOGUE) and self.ranking.catalogue is not True:
            raise PlanError(f"gate.metric: given {self.gate.metric!r:.80}; it needs ranking: {{catalogue: true}}")
        if unknown := [name for name in self.gate.slices if name not in self.columns.categorical]:
            allowed = ", ".join(self.columns.categorical) or "none in this plan"
            raise PlanError(f"gate.slices names {', '.join(unknown)}; it may name columns.categorical: {allowed}")
        if self.correctors and not self.columns.label:
            raise PlanError("correctors: they correct click probabilities; set columns.label, or leave them out")
        return self

    @property
    def family(self) -> Literal["ranking", "ctr"]:
        """`ctr` if rows have a label, `ranking` if every row is a positive."""
        return "ctr" if self.columns.label else "ranking"

    @property
    def excludes_taken(self) -> bool:
        """Whether recommendations leave out what the user took before."""
        given = self.serving.exclude_taken
        return self.family == "ranking" and (not self.ranking.repeats if given is None else given)

    @property
    def leading_metric(self) -> str:
        """The metric by which the gate decides."""
        return leading_metric(self.gate.metric, self.family == "ctr", self.ranking.k)

    @property
    def reads_s3(self) -> bool:
        """Whether the source has an option that names a place on S3."""
        return "s3://" in repr(self.source.options)

    @property
    def hash(self) -> str:
        """SHA-256 of the plan's canonical JSON; a changed plan is another plan."""
        return hashlib.sha256(canonical_json(self.model_dump(mode="json"))).hexdigest()


def canonical_json(value: object) -> bytes:
    """JSON bytes that depend only on the value: sorted keys, no white space, no NaN (ValueError)."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode()
