"""Splits: which periods of the history are replayed, chosen on and tested on."""

from __future__ import annotations

from dataclasses import dataclass

from nightloop.tasks.bakeoff.spec import BakeoffSpec
from nightloop.tasks.lake.periods import parse, period
from nightloop.tasks.plan.plan import Plan


@dataclass(frozen=True)
class PeriodSplit:
    """Indexes of periods. Everything up to `last` is replayed; the choice is made before the test begins."""

    root: int
    last: int
    tune_periods: tuple[int, ...]
    test: tuple[int, ...]


def period_split(plan: Plan, spec: BakeoffSpec, newest: int, wrong: list[str]) -> PeriodSplit:
    """The periods of a specification; `newest` is the last one if it names none. Mistakes are added to `wrong`."""
    before, root = len(wrong), plan.pretrain_periods - 1
    last = _one(plan, "end", spec.end, newest, wrong)
    first = _one(plan, "start", spec.start, root + 1, wrong)
    tune_periods = _several(plan, "tune_periods", spec.tune_periods, wrong)
    test_periods = _several(plan, "periods", spec.test_periods, wrong)
    if len(wrong) > before:
        return PeriodSplit(root, last, tune_periods, test_periods)
    if last <= root:
        wrong.append(
            f"end: {_name(plan, last)} is not after the root {_name(plan, root)} (pretrain_periods: {plan.pretrain_periods}); give a later "
            "end, or collect more periods first"
        )
    elif not root < first <= last:
        wrong.append(f"start: given {_name(plan, first)}; allowed are {_name(plan, root + 1)} to {_name(plan, last)}")
    after = max([*tune_periods, first - 1])
    test = test_periods or tuple(range(after + 1, last + 1))
    for name, chosen in (("tune_periods", tune_periods), ("test_periods", test_periods)):
        outside = [index for index in chosen if not first <= index <= last]
        if outside and last > root:
            allowed = f"{_name(plan, first)} to {_name(plan, last)}"
            wrong.append(f"{name}: {_name(plan, outside[0])} is not within the scored periods, {allowed}")
    if tune_periods and min([*test_periods, last + 1]) <= max(tune_periods):
        wrong.append("periods: test periods must all come after those of tune_periods, or the choice has seen the test")
    if not test and len(wrong) == before:
        wrong.append(
            f"tune_periods: no period is left to test on after {_name(plan, after)}; end later or choose on fewer"
        )
    return PeriodSplit(root, last, tune_periods, test)


def _one(plan: Plan, field: str, name: str, default: int, wrong: list[str]) -> int:
    if not name.strip():
        return default
    try:
        return parse(plan.periods, name).index
    except ValueError as error:
        wrong.append(f"{field}: {error}")
        return default


def _several(plan: Plan, field: str, names: tuple[str, ...], wrong: list[str]) -> tuple[int, ...]:
    indexes: set[int] = set()
    for text in names:
        first, _, last = text.partition("..")
        begin = _one(plan, field, first or "?", -1, wrong)
        end = _one(plan, field, last, begin, wrong)
        if end < begin:
            wrong.append(f"{field}: the range {text!r} is reversed")
        indexes |= set(range(begin, end + 1))
    return tuple(sorted(indexes - {-1}))


def _name(plan: Plan, index: int) -> str:
    return period(plan.periods, index).name if index >= 0 else "none"
