"""Row rules: what each column of a plan may hold, as a flat list with one code for each way to break one.

A code is `<column>/<how>`: user/null, item/forbidden, price/range, label/values, category/length, time/outside.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from nightloop.tasks.lake.periods import Period
from nightloop.tasks.plan.errors import PlanError
from nightloop.tasks.plan.expectations import ID_KINDS, LARGEST, NOBODY, Rule
from nightloop.tasks.plan.plan import Plan

Kind = Literal["null", "length", "forbidden", "range", "values", "outside", "kinds"]

SOMEBODY = (
    "an id: no blank, no word or hash for a missing id (unknown, n/a, (not set)), no placeholder ({user_id}, __IDFA__), no control "
    'characters or lost letters, no number with an exponent (1.23457E+12), no guard of a spreadsheet (="0012" or \'0012), no commas '
    "between thousands (1,234), no quotes around it, no list or object ([B@6d06d69c); another rule is `forbidden` of the column under "
    "`expectations: rules` of the plan"
)
LATEST = 4_102_444_800_000_000  # 2100-01-01: a time after it is in milliseconds or nanoseconds by mistake


WORDS = ", or a word for them: true, false, yes, no"


@dataclass(frozen=True)
class RowRule:
    """One thing that every row's value in one column must meet. `least` and `most` are numbers, lengths or µs."""

    column: str  # as the lake calls it
    kind: Kind
    least: float | None = None
    most: float | None = None
    allowed: tuple[str | float, ...] = ()
    pattern: str = ""

    @property
    def code(self) -> str:
        """The reason that quarantined rows carry."""
        return f"{self.column}/{self.kind}"

    @property
    def words(self) -> str:
        """What is allowed, for people."""
        allowed = [f"{value:g}" if isinstance(value, float) else value for value in self.allowed[:20]]
        return {
            "null": "no value missing",
            "length": f"at most {self.most} characters",
            "forbidden": SOMEBODY if self.pattern == NOBODY else "no value that the plan's rule `forbidden` names",
            "range": f"{self.least} to {self.most}",
            "values": f"one of {', '.join(allowed)}{WORDS if self.column == 'label' else ''}",
            "outside": "a time inside the period",
            "kinds": f"{' or '.join(allowed).replace('_', ' ')}, as `kinds` of the plan's rule says",
        }[self.kind]


def row_rules(plan: Plan, period: Period) -> list[RowRule]:
    """Every rule of a plan, defaults included. Raises PlanError for a rule of a column that the plan does not have."""
    if plan.expectations.rows == "off":
        return []
    columns, plan_rules = plan.columns, plan.expectations.rules
    names = {"user": columns.user, "item": columns.item, "time": columns.time}
    if columns.label is not None:
        names["label"] = columns.label
    if columns.logged_probability is not None:
        names["served"] = columns.logged_probability
    names |= {name: name for name in (*columns.categorical, *columns.numeric)}
    unknown = sorted(set(plan_rules) - set(names) - set(names.values()))
    if unknown:
        raise PlanError(f"expectations.rules names {unknown}; the plan's columns are {sorted(names)}")
    rules: list[RowRule] = []
    for name in plan_rules:
        _check_rule(plan, name, plan_rules[name])
    for column, source in names.items():
        rule = plan.expectations.rule(column, source)
        rules += _time(rule, period) if column == "time" else _column(plan, column, rule)
    return rules


def _check_rule(plan: Plan, name: str, rule: Rule) -> None:
    """Raises PlanError for a part of a rule that says nothing of a column of its type, because it would be ignored."""
    columns = plan.columns
    number = name in ("time", columns.time, "label", columns.label, columns.logged_probability, *columns.numeric)
    parts = ("longest", "forbidden", "kinds") if number else ("least", "most")
    if wrong := [part for part in parts if part in rule.model_fields_set]:
        what, others = ("numbers", "least, most") if number else ("texts", "longest, forbidden, kinds")
        raise PlanError(
            f"expectations.rules.{name} has {', '.join(wrong)}, but the column holds {what}; for them there are {others}"
        )


def _time(rule: Rule, period: Period) -> list[RowRule]:
    rules = [RowRule("time", "null")]
    if period.start is not None and period.end is not None:
        rules.append(RowRule("time", "outside", period.start, period.end - 1))
    elif rule.least is None and rule.most is None:
        rules.append(RowRule("time", "range", 0, LATEST))
    if rule.least is not None or rule.most is not None:
        rules.append(RowRule("time", "range", rule.least, rule.most))
    return rules


def _column(plan: Plan, column: str, rule: Rule) -> list[RowRule]:
    """The rules of one column: the defaults of its role, replaced by what the plan says."""
    id_like, label, served = column in ("user", "item"), column == "label", column == "served"
    number = label or served or column in plan.columns.numeric
    required = rule.required if rule.required is not None else id_like or label
    free = rule.least is None and rule.most is None
    allowed = rule.allowed or ((0.0, 1.0) if label and free else ())
    forbidden = rule.forbidden if rule.forbidden is not None else NOBODY if id_like else ""
    rules = [RowRule(column, "null")] if required else []
    if number and not (allowed and free):  # infinity is in no set of values: one check is enough
        lowest, highest = (0.0, 1.0) if served else (-LARGEST, LARGEST)
        least = lowest if rule.least is None else rule.least
        most = highest if rule.most is None else rule.most
        rules.append(RowRule(column, "range", least, most))
    if not number:
        rules.append(RowRule(column, "length", 0, rule.longest or 256))
    if forbidden and not number:
        rules.append(RowRule(column, "forbidden", pattern=forbidden))
    if rule.kinds and not number:
        either = "|".join(ID_KINDS[kind] for kind in rule.kinds)
        rules.append(RowRule(column, "kinds", allowed=rule.kinds, pattern=f"^(?:{either})$"))
    if allowed:
        rules.append(RowRule(column, "values", allowed=tuple(map(float if number else str, allowed))))
    return rules
