"""Sample: what was found in the logs of a plan, as lines for people."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

from nightloop.tasks.inspection.other_columns import OtherColumn, OtherTimes
from nightloop.tasks.inspection.sample import BEYOND, Sample
from nightloop.tasks.inspection.sample_columns import NumberSpread, TextKind
from nightloop.tasks.lake.periods import parse
from nightloop.tasks.plan.expectations import Rule
from nightloop.tasks.plan.plan import Calendar, Plan
from nightloop.tasks.reports.format import plain, plural
from nightloop.tasks.validation.export_limits import LIMITS, at_limit
from nightloop.tasks.validation.id_kinds import KIND_WORDS

OLD = "1995"  # the oldest public logs are younger
LAST_OLD = "1998"  # no log ends before it; seconds since 2001, as programs of Apple have them, do until 2029
FEW = 8  # periods, kinds and labels that are named
KINDS, REPEATED = 50, 4  # different values that say of what kind a row is, and how often each comes at least
DURATIONS = (("d", 86_400_000_000), ("h", 3_600_000_000), ("min", 60_000_000))
COARSE, FINE = 5, 100  # times as many different times as the plan's column has, and how many
RARE = 0.05  # of the different values of a column
SEVERAL = 1000  # rows, from which on hours of the day say something


def problems(sample: Sample, now: datetime) -> list[str]:
    """What would stop a night of these rows, or put rows aside; empty if nothing would."""
    texts = [
        *(plain(reason, 900) for reason in sample.verdict.reasons),
        *(plain(text, 900) for text in (*sample.outside, *sample.relations)),
    ]
    if sample.span and sample.span[1] > (now + timedelta(days=1)).isoformat():
        texts.append(
            f"the last time is {sample.span[1]}, which is still to come: are the times digits that spell a date, or of another "
            "zone? `time_format`, such as %Y%m%d%H, in the plan's `columns` says so"
        )
    texts += [
        f"on {plural(days.numbered, 'day')} the {role}s are the numbers from 0 or 1 on, in the order in which they come first: were they "
        f"numbered anew for each file, as LabelEncoder and factorize do? Then a number is another {role} on each day: export the ids "
        "themselves"
        for role, days in sample.days.items()
        if days.numbered > 1
    ]
    if sample.notes.coarse:
        texts.append(
            f"the column {plain(sample.notes.coarse, 60)} holds times as 32-bit floats, which are two minutes apart: write it as "
            "64-bit floats or as integers"
        )
    texts += [
        f"{plain(file, 200)}: {at_limit(rows)}" for file, rows in sample.notes.files.items() if file and rows in LIMITS
    ]
    if len(offsets := sample.notes.offsets) > 1:
        texts.append(
            f"some times have an offset from UTC, such as {plain(offsets[True], 60)!r}, and others have none, such as "
            f"{plain(offsets[False], 60)!r}, and are taken for UTC: if they are of another zone, write their offset"
        )
    texts += [
        f"the column {plain(other.name, 60)} has {other.times.different:,} different times in {other.times.rows:,} rows, and that "
        f"of the plan {other.times.own:,}: is the plan's the time of an export or of a day? Name the column of the time of each event"
        for other in sample.others
        if other.times and other.times.different >= max(FINE, COARSE * other.times.own)
    ]
    texts += [
        f"no row of the column {plain(name, 60)} has several values, such as {plain(value, 60)!r}: write | between them, or take it "
        "out of `multi_value`"
        for name, value in sample.notes.several.items()
        if value
    ]
    texts += [
        f"all numbers with a point in the column {plain(name, 60)} have three digits behind it, such as {plain(value, 60)!r}: if the point "
        "separates thousands, write them without it"
        for name, value in sample.notes.thousands.items()
        if value
    ]
    if sample.span and sample.span[0] < OLD <= sample.span[1]:
        texts.append(
            f"the first time is {sample.span[0]}: is a time that is missing written as 0? Such rows are in no period of a file that "
            "holds all of them"
        )
    if sample.span and sample.span[1] < LAST_OLD:
        texts.append(
            f"all times lie before {LAST_OLD}, the last is {sample.span[1]}: are they numbers in another unit or since another "
            "year, or digits that spell a date? `time_unit`, or `time_format` such as %Y%m%d%H, in the plan's `columns` says so"
        )
    return texts


def sample_lines(plan: Plan, sample: Sample, now: datetime) -> list[str]:
    """What is in the sample, then its problems."""
    notes, columns = sample.notes, plan.columns
    first = " of the first period" if isinstance(plan.periods, Calendar) else ""  # of a source without files
    of = f" of {plural(sample.files, 'file')}" if sample.files else first
    whole = not sample.files or sample.files == len(sample.read)
    part = f"a sample of {notes.rows:,} rows" if whole else f"{notes.rows:,} rows of {len(sample.read)}"
    how = "all rows" if sample.is_complete else part
    named = [f"user {columns.user}", f"item {columns.item}", f"time {columns.time}"]
    named += [f"label {columns.label}"] if columns.label else []
    named += [f"categorical {', '.join(columns.categorical)}"] if columns.categorical else []
    named += [f"numeric {', '.join(columns.numeric)}"] if columns.numeric else []
    lines = [
        f"read: {how}{of}" + (f" ({notes.rows:,})" if sample.is_complete else ""),
        *(f"  {plain(file, 200)}" for file in sample.read[:FEW]),
        f"columns: {plain('; '.join(named), 600)}",
        f"times: {_pairs(notes.times)}"
        + (f"; from {sample.span[0]} to {sample.span[1]}" if sample.span else "")
        + _hours(sample.hours),
        *(
            f"{role}s: {_describe_texts(sample.texts[role], notes.rows, _pairs(notes.ids[role]))}{_describe_days(sample, role)}"
            for role in ("user", "item")
        ),
        *(f"{plain(name, 60)}: {_describe_texts(sample.texts[name], notes.rows)}" for name in columns.categorical),
        *(f"{plain(name, 60)}: {_describe_numbers(sample.numbers[name], notes.rows)}" for name in columns.numeric),
    ]
    if sample.repeats.again:
        share, soon = (n / sample.repeats.rows for n in (sample.repeats.again, sample.repeats.soon))
        lines.append(
            f"rows with an item that their user took before: {share:.2%}, less than a minute before: {soon:.2%}"
        )
    if isinstance(plan.periods, Calendar):
        lines.append(f"periods: {_list_periods(sample.periods)}{_empty_periods(plan.periods, sample)}")
    if columns.label:
        labels = ", ".join(f"{label:g} in {rows:,} rows" for label, rows in sample.labels[:FEW])
        lines.append(f"labels: {labels or 'none'}")
    lines += _list_others(sample.others)
    lines += _propose_kinds(plan, sample)
    wrong = problems(sample, now)
    if not wrong:
        return [*lines, "A night would take these rows as they are."]
    stops = "A night would be stopped:" if sample.verdict.verdict == "blocked" else "A night would say:"
    return [*lines, stops, *(f"  {text}" for text in wrong)]


def _pairs(written: dict[str, str]) -> str:
    """`12.0 (read as 12), ann`."""
    pairs = [(plain(raw, 60), "" if raw == read else f" (read as {plain(read, 60)})") for raw, read in written.items()]
    return ", ".join(f"{raw}{read}" for raw, read in pairs) or "none"


def _hours(hours: Sequence[int]) -> str:
    """The hours of the day with most and with fewest rows: evening and early morning, if times are read in the right zone."""
    if sum(hours) < SEVERAL or max(hours) == sum(hours):
        return ""
    most = f"; most rows at {hours.index(max(hours)):02d} o'clock UTC"
    if none := [hour for hour, rows in enumerate(hours) if not rows]:
        return f"{most}, none at {', '.join(f'{hour:02d}' for hour in none)}"
    return f"{most}, fewest at {hours.index(min(hours)):02d}"


def _describe_days(sample: Sample, role: str) -> str:
    """Whether users, or items, come again on another day: those of visits, or of a hash whose salt changes, do not."""
    days = sample.days.get(role)
    if not days:
        return ""
    each = f"; rows of each: {days.middle:g} in the middle, {days.most:,} at most"
    if days.later < FEW:
        return each
    return f"{each}; of the rows after the first day {days.known / days.later:.2%} have one of an earlier day"


def _list_others(others: Sequence[OtherColumn]) -> list[str]:
    """The columns that the plan does not use, those with few values first: they may say which rows are no events."""
    if not others:
        return []
    told = sorted((each for each in others if each.different > 1 or each.missing), key=lambda each: each.different)
    same = [
        f"{each.name} {each.examples[0][0]}"
        for each in others
        if each.different == 1 and not each.missing and each.rows >= REPEATED
    ]
    lines = [f"columns that the plan does not use: {plain(', '.join(each.name for each in others), 600)}"]
    lines += [f"  the same in all rows: {plain(', '.join(same), 600)}"] if same else []
    for each in told[:FEW]:
        values = f"{each.different:,} different"
        frequent = each.different * REPEATED <= each.rows
        if each.different <= KINDS and frequent:  # names and addresses of people are not shown
            shares = ", ".join(f"{plain(value, 60)} {rows / each.rows:.2%}" for value, rows in each.examples)
            values = shares if each.different <= len(each.examples) else f"{values}, such as {shares}"
        times = f"; {_describe_times(each.times)}" if each.times else ""
        lines.append(
            f"  {plain(each.name, 60)}: {values or 'no value'}{_missing_share(each.missing, each.rows)}{times}"
        )
    return lines


def _describe_times(times: OtherTimes) -> str:
    """How far the times of another column are from those of the plan's: one of them may be when a row was loaded or exported."""
    if times.least == times.most == 0:
        return "the plan's time"
    span = f"{_duration(times.least)} to {_duration(times.most)}"
    return f"times, and the plan's are {_duration(times.middle)} later in the middle ({span})"


def _duration(micros: int) -> str:
    """`-1.5 h`."""
    unit, size = next(((unit, size) for unit, size in DURATIONS if abs(micros) >= size), ("s", 1_000_000))
    return f"{micros / size:.3g} {unit}"


def _empty_periods(calendar: Calendar, sample: Sample) -> str:
    """How many periods between the first and the last one have no row, if all rows were read."""
    names = [name for name, _ in sample.periods if name not in ("before", BEYOND)]
    if not sample.is_complete or len(names) < 2:
        return ""
    first, last = (parse(calendar, name).index for name in (names[0], names[-1]))
    empty = last - first + 1 - len(names)
    return f"; {plural(empty, 'period')} between them without a row" if empty > 0 else ""


def _describe_texts(kinds: Sequence[TextKind], rows: int, written: str = "") -> str:
    """`902 different, such as 868, 808 (whole numbers)`; where there are more kinds, each with its share of the rows and examples."""
    if not kinds:
        return "none"
    examples = [", ".join(plain(example, 60) for example in kind.examples) for kind in kinds]
    words = [KIND_WORDS[kind.kind] for kind in kinds]
    missing = _missing_share(rows - sum(kind.rows for kind in kinds), rows)
    start = f"{sum(kind.different for kind in kinds):,} different, such as {written or examples[0]}"
    if len(kinds) == 1:
        return f"{start} ({words[0]}){missing}"
    shares = [
        f"{word} {kind.rows / rows:.2%} ({example})" for word, kind, example in zip(words, kinds, examples, strict=True)
    ]
    return f"{start}; of the rows {', '.join(shares[:FEW])}{missing}"


def _describe_numbers(numbers: NumberSpread, rows: int) -> str:
    if not numbers.rows:
        return "no numbers"
    return f"{numbers.least:g} to {numbers.largest:g}, {numbers.middle:g} in the middle{_missing_share(rows - numbers.rows, rows)}"


def _missing_share(missing: int, rows: int) -> str:
    return f"; {missing / rows:.2%} missing" if missing > 0 else ""


def _propose_kinds(plan: Plan, sample: Sample) -> list[str]:
    """What a plan says to put ids of other kinds aside in later nights, if there are few kinds and it does not say so yet."""
    sources = {"user": plan.columns.user, "item": plan.columns.item}
    asked = [role for role, source in sources.items() if plan.expectations.rule(role, source) == Rule()]
    kinds = {role: _frequent_kinds(sample.texts[role]) for role in asked}
    held = [f"{role}: {{kinds: [{', '.join(found)}]}}" for role, found in kinds.items() if 0 < len(found) <= 2]
    return [f"to put ids of other kinds aside, write expectations: {{rules: {{{', '.join(held)}}}}}"] if held else []


def _frequent_kinds(kinds: Sequence[TextKind]) -> list[str]:
    """The kinds without those that have few of the values: they may be mistakes."""
    return [kind.kind for kind in kinds if kind.different > RARE * sum(each.different for each in kinds)]


def _list_periods(periods: Sequence[tuple[str, int]]) -> str:
    if not periods:
        return "none has a row"
    shown = [
        f"{name if name != 'before' else 'before period 0'} {rows:,}"
        for name, rows in (periods if len(periods) <= FEW else [*periods[:3], *periods[-3:]])
    ]
    if len(periods) > FEW:
        shown.insert(3, f"... {len(periods) - 6} more ...")
    return f"{plural(len(periods), 'period')} with rows: {', '.join(shown)}"
