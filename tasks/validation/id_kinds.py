"""Id kinds: what kind of text the users and items of a period are, the few that are unlike the others, and kinds that are new."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from nightloop.tasks.lake.warehouse import Warehouse
from nightloop.tasks.plan.expectations import ID_KINDS, IdKind
from nightloop.tasks.plan.plan import Plan
from nightloop.tasks.validation.drift import History
from nightloop.tasks.validation.period_checks import Check

FEW = 20  # with fewer ids or rows nothing can be said
# Ids, and share of them, that are unlike the others by mistake: a source of two kinds has more.
ODD, ODD_SHARE = 3, 0.01
# Kinds of which ids are on purpose: letters and digits drawn at random are letters alone, or a number, by chance.
STRICT: tuple[IdKind, ...] = (
    "whole_number",
    "decimal_number",
    "prefix_and_number",
    "uuid",
    "hexadecimal",
    "email",
    "address",
)
NUMBERS = ("whole_number", "negative_number")  # what a decimal number may be by chance
KIND_WORDS: dict[str, str] = {
    "whole_number": "whole numbers", "negative_number": "negative numbers", "decimal_number": "decimal numbers", "uuid": "UUIDs",
    "hexadecimal": "hexadecimal numbers of 16 digits or more", "email": "e-mail addresses", "address": "addresses of pages",
    "prefix_and_number": "letters before a number", "letters": "letters", "letters_and_digits": "letters and digits", "text": "other texts",
}  # fmt: skip


@dataclass(frozen=True)
class KindCount:
    """The ids of one role that are of one kind."""

    role: str  # user, item
    kind: IdKind
    ids: int
    long: int  # of them, those of 16 characters or more
    rows: int
    examples: tuple[str, ...]  # those with most rows


def define_id_kind(warehouse: Warehouse) -> None:
    """Let statements ask `id_kind(text)`."""
    warehouse.define("validate/define_id_kind", {kind: pattern for kind, pattern in ID_KINDS.items() if kind != "text"})


def count_id_kinds(warehouse: Warehouse) -> list[KindCount]:
    """The kinds of the users and items of the `clean_rows`, the most frequent first."""
    rows = warehouse.query("validate/id_kinds").to_pylist()
    return [KindCount(**row | {"examples": tuple(row["examples"])}) for row in rows]


def kind_shares(counts: Sequence[KindCount]) -> dict[str, float]:
    """Statistics `kind/<role>/<kind>`: the share of the clean rows whose user, or whose item, is of the kind."""
    rows = {role: sum(count.rows for count in counts if count.role == role) for role in ("user", "item")}
    return {f"kind/{count.role}/{count.kind}": count.rows / rows[count.role] for count in counts}


def odd_id_checks(counts: Sequence[KindCount], plan: Plan, others: Sequence[Check]) -> Iterator[Check]:
    """A check that fails for users, and for items, if a few are unlike all others and none of the `others` that failed tells of them.

    Where the plan names the `kinds` of a column, a row of another kind is in quarantine already.
    """
    failed = [check.name for check in others if not check.low <= check.observed <= check.high]
    for role, source in _without_kinds(plan):
        of_role = [count for count in counts if count.role == role]
        if not any(role in name or source in name for name in failed):
            yield from _unlike_the_others(role, of_role)


def new_kind_checks(counts: Sequence[KindCount], plan: Plan, history: History) -> Iterator[Check]:
    """A check for users, and for items, that fails if many rows have one of a kind that no night before had."""
    for role, _ in _without_kinds(plan):
        yield from _of_a_new_kind(role, [count for count in counts if count.role == role], plan, history)


def _without_kinds(plan: Plan) -> list[tuple[str, str]]:
    """The roles, with their columns, of which the plan does not say the kinds."""
    roles = (("user", plan.columns.user), ("item", plan.columns.item))
    return [(role, source) for role, source in roles if not plan.expectations.rule(role, source).kinds]


def _unlike_the_others(role: str, counts: Sequence[KindCount]) -> Iterator[Check]:
    ids = sum(count.ids for count in counts)
    for kind in STRICT if ids >= FEW else ():
        others = [count for count in counts if count.kind != kind]
        odd = sum(count.ids - _also_of_kind(kind, count) for count in others)
        if 0 < odd <= max(ODD, ODD_SHARE * ids) and odd < ids / 2:
            shown = "; ".join(_describe(count) for count in others[:3])
            example = (
                f"{shown}. The others are {KIND_WORDS[kind]}. If these are no {role}s, put their rows aside with `kinds: [{kind}]` under "
                f"`expectations: rules: {role}` of the plan; if they are, name all kinds there"
            )
            yield Check(f"{role}s unlike the others", "warn", float(odd), high=0, example=example)
            return


def _also_of_kind(kind: str, count: KindCount) -> int:
    """How many of the ids may be of this kind too: a hexadecimal number may have no letter, and a decimal number no fraction."""
    if kind == "decimal_number":
        return count.ids if count.kind in NUMBERS else 0
    return count.long if kind == "hexadecimal" and count.kind == "whole_number" else 0


def _of_a_new_kind(role: str, counts: Sequence[KindCount], plan: Plan, history: History) -> Iterator[Check]:
    limit, rows = plan.expectations.new_kinds, sum(count.rows for count in counts)
    known = {name.split("/")[2] for night in history for name in night if name.startswith(f"kind/{role}/")}
    new = [count for count in counts if count.kind not in known]
    if limit.severity == "off" or not known or rows < FEW:
        return
    share = sum(count.rows for count in new) / rows
    earlier = ", ".join(KIND_WORDS[kind] for kind in ID_KINDS if kind in known)
    shown = "; ".join(_describe(count) for count in new[:3])
    example = f"{shown}. Earlier nights had {earlier}. Is one {role} written in two ways? Then it is two {role}s: write it in one"
    yield Check(f"share of rows with {role}s of a new kind", limit.severity, share, high=limit.most, example=example)


def _describe(count: KindCount) -> str:
    """`letters: 2 of them with 516 rows, such as 'false', 'Array'`."""
    examples = ", ".join(repr(example[:60]) for example in count.examples)
    return f"{KIND_WORDS[count.kind]}: {count.ids:,} with {count.rows:,} rows, such as {examples}"
