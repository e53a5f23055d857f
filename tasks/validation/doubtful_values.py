"""Doubtful values: texts that were read in another encoding than they were written in, ids that are several, dates, one id in upper and
lower case, or everybody's, and times that stand for a missing one, lie far from all others, or are of a clock of 12 hours."""

from __future__ import annotations

from collections.abc import Iterator

from nightloop.tasks.lake.periods import Period
from nightloop.tasks.lake.warehouse import Warehouse
from nightloop.tasks.plan.plan import Columns
from nightloop.tasks.validation.period_checks import Check

OLD = 788_918_400_000_000  # 1995-01-01: the oldest public logs are younger
EARLY = 94_694_400_000_000  # 1973-01-01: times that count from 0 on are before it
COUNTED = 10_000_000_000  # 10,000 s after the start of 1970: a log whose times count its rows begins before it
DAY = 86_400_000_000
# A control character U+0080 to U+009F, which are letters of cp1252 and bytes of most other encodings; and the letters that UTF-8 becomes in
# latin-1 and cp1252.
# Words of question marks are left of letters that an encoding does not have.
MISREAD = (
    r"[\x{80}-\x{9f}]|[ÂÃ][\x{a0}-\x{bf}€‚ƒ„…†‡ˆ‰Š‹ŒŽ‘’“”•–—˜™š›œžŸ]|â€"
    r"|(?:^|[ ,;|/_-])[?¿]{3,}(?:$|[ ,;|/_-])"
)
FEW = 20  # with fewer ids nothing can be said
MOST = 0.5  # of all ids: if more look like several or like dates, or fewer, all are meant so
CHANCE = 0.01  # of all ids: so many random ones differ in the case of letters alone
MANY, LEVEL = 1000, 36  # rows; and an hour of twelve has a third of its even share or more
CROWD, OFTEN = 0.1, 50.0  # of all rows, and times those of a user in the middle: one user has fewer


def doubtful_value_checks(warehouse: Warehouse, columns: Columns, period: Period) -> Iterator[Check]:
    """A check that fails for each kind of doubtful values that a version of a period has; none if there are none."""
    yield from _other_encodings(warehouse, columns)
    yield from _ids(warehouse)
    yield from _crowd(warehouse)
    yield from _times(warehouse, begins=period.index == 0 and period.start is None)
    yield from _half_days(warehouse)


def _other_encodings(warehouse: Warehouse, columns: Columns) -> Iterator[Check]:
    """A check for each column of texts in which some have characters that only a wrong encoding leaves."""
    rows = warehouse.query("validate/misread_ids", {"signs": MISREAD}).to_pylist()
    if texts := [name for name in columns.categorical if name not in (columns.user, columns.item)]:
        rows += warehouse.query("validate/misread_texts", {"columns": texts, "signs": MISREAD}).to_pylist()
    for row in rows:
        name = row["field"] if row["field"] in columns.categorical else getattr(columns, row["field"])
        example = (
            f"{ascii(row['value'])[:80]}. Such characters are left of a text that was read in another encoding than it was written in, "
            "here or before: set the source's option `encoding` (cp1252, iso2022_jp, utf-8, ...), or write the text again"
        )
        yield Check(f"rows whose {name[:60]} is of another encoding", "warn", row["rows"], high=0, example=example)


def _ids(warehouse: Warehouse) -> Iterator[Check]:
    """Checks of users and of items: whether most look like several ids, a few look like dates, or some differ in case alone."""
    for row in warehouse.query("validate/doubtful_ids").to_pylist():
        role, ids = row["role"], row["ids"]
        if ids >= FEW and row["several"] > MOST * ids:
            example = (
                f"{row['one_of_several'][:80]!r}. A row has one {role}: write one row for each of them (UNNEST in SQL, explode in pandas "
                "and Spark)"
            )
            yield Check(
                f"share of {role}s that look like several", "warn", row["several"] / ids, high=MOST, example=example
            )
        if ids >= FEW and 0 < row["dated"] < MOST * ids:
            example = (
                f"{row['one_dated'][:80]!r}. A spreadsheet makes dates of ids such as 1-2 and MAR1: export the ids again as text, and open "
                "no csv file in it"
            )
            yield Check(f"{role}s that look like dates", "warn", row["dated"], high=0, example=example)
        if ids >= FEW and row["cased"] > CHANCE * ids:
            example = (
                f"{row['one_case'][:60]!r} and {row['other_case'][:60]!r}. Are they one {role}? SQL Server writes UUIDs in capitals, and "
                "most programs do not: write ids in one case"
            )
            yield Check(
                f"share of {role}s that differ in upper and lower case alone",
                "warn",
                row["cased"] / ids,
                high=CHANCE,
                example=example,
            )


def _crowd(warehouse: Warehouse) -> Iterator[Check]:
    """A check if one user has so many rows that it stands for everybody whom a program did not know."""
    (seen,) = warehouse.query("validate/frequent_user").to_pylist()
    if seen["users"] >= FEW and seen["most"] > max(CROWD * seen["rows"], OFTEN * seen["middle"]):
        example = (
            f"{seen['most_frequent'][:80]!r}. Does it stand for everybody who is not logged in? Leave such rows out, or give each visitor "
            "an id"
        )
        yield Check("share of rows of one user", "warn", seen["most"] / seen["rows"], high=CROWD, example=example)


def _half_days(warehouse: Warehouse) -> Iterator[Check]:
    """A check if no row lies between 13:00 and 0:59, and rows that come in order go back from 12 to 1 o'clock of the same day, or
    rows that come in no order are many at each of the other hours: a shop that closes at night has few in its first and last one."""
    (seen,) = warehouse.query("validate/clock_turns").to_pylist()
    turned = seen["turns"] and seen["turns"] > seen["back"] / 2
    shuffled = seen["back"] > seen["rows"] / 4
    level = seen["rows"] >= MANY and seen["least"] > seen["rows"] / LEVEL
    how = (
        f"{seen['turns']:.0f} times a row at 1 o'clock comes after one at 12 o'clock of the same day"
        if turned
        else f"each of these hours has rows, {seen['least']:,.0f} or more"
    )
    if turned or (shuffled and level):
        example = (
            f"{how}, as on a clock of 12 hours. Without AM and PM afternoons are mornings: write the hours 0 to 23, in Java with HH and "
            "not hh"
        )
        yield Check("rows between 1:00 and 12:59 o'clock", "warn", seen["rows"], high=0, example=example)


def _times(warehouse: Warehouse, begins: bool) -> Iterator[Check]:
    """A check if rows have the time 0, which programs write for a missing one, beside times of these days, or all have it; and one if a few
    lie far from all others; and ones if all lie in years of which there are no logs. With equal counts no calendar keeps them out.

    A log whose times are numbers from 0 on has no times of these days. `begins`: the rows are the first ones of the log, which begins at
    0 then; one that begins in 1970 and later counts something else than seconds.
    """
    limits = {"day": DAY, "counted": COUNTED, "early": EARLY, "old": OLD}
    (seen,) = warehouse.query("validate/doubtful_times", limits).to_pylist()
    if seen["missing"]:
        example = "a missing time is often written as 0, and these rows are taken for the oldest ones. Write their times, or nothing"
        yield Check("rows at the start of 1970", "warn", seen["missing"], high=0, example=example)
    if seen["old"]:
        example = (
            f"the newest is {seen['newest']}. Numbers of 18 digits are taken for nanoseconds since 1970, and ticks of .NET and Windows are "
            "none: write seconds since 1970"
        )
        yield Check("rows at times between 1973 and 1995", "warn", seen["old"], high=0, example=example)
    if begins and seen["early"]:
        example = (
            f"the oldest is {seen['oldest']}. Are these numbers seconds since 1970? Spreadsheets count days since 1900 (46023.5), Kafka "
            "Connect days since 1970 (20454, `time_unit: days`), and pandas 3 gives microseconds where earlier ones gave nanoseconds"
        )
        yield Check("rows at times before 1973", "warn", seen["early"], high=0, example=example)
    if seen["far"]:
        example = f"{seen['example']}, and the others go from {seen['first']} to {seen['last']}. Correct these times, or leave the rows out"
        yield Check("rows at times far from all others", "warn", seen["far"], high=0, example=example)
