"""Corpus of reports: cases that a third search of public issue trackers found, each of which was read as something else without a word."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime
from decimal import Decimal

import pyarrow as pa

from tests.sources.corpus import AT, COLUMNS, NOON, Case, csv, jsonl, parquet

TITLED = {"columns": {**COLUMNS, "categorical": ["title", "tag"]}, "wanted": ("user", "item", "title", "tag")}
DEVICES = {"columns": {**COLUMNS, "categorical": ["device"]}, "wanted": ("user", "device")}
FLOAT = "an id has more digits than are kept of a number of JSON, write it as text"


def shifted() -> Iterator[Case]:
    """Delimiters in values without quotes (betterment-csv-chrome 51, IATI.cloud 2352): an empty last field hid that all values moved."""
    head, bob = "user,time,item,title,tag", ("bob", "2", "x", "y")
    moved, aside = (
        f"ann,{AT},1,Hello, world,",
        [("unreadable_row", "a.csv:2: it has 6 fields, the file has 5 columns: ann")],
    )
    rest = f'bob,{AT},2,x,y\ncat,{AT},3,"a,b",\ndan,{AT},4,z,\n'
    rows = [bob, ("cat", "3", "a,b", None), ("dan", "4", "z", None)]
    for end in ("\n", "\r\n"):
        text = csv(f"{head}\n{moved}\n{rest}".replace("\n", end))
        yield Case(
            f"a delimiter in a value and none after the last, ends {end!r}", "a.csv", text, rows, aside, **TITLED
        )
    sharp = {"comment": "#"}
    yield Case("the same, line by line", "a.csv", csv(f"{head}\n{moved}\n{rest}"), rows, aside, sharp, **TITLED)
    quoted = csv(f"{head}\n{moved.replace('ann', chr(34) + 'ann' + chr(34))}\n{rest}")
    again = [(aside[0][0], aside[0][1].replace(": ann", ': "ann'))]
    yield Case("the same in a row with quotes", "a.csv", quoted, rows, again, **TITLED)
    apart = csv(f"{head}\n{moved}\n{rest}".replace(",", "::").replace("a::b", "a,b"))
    yield Case(
        "the same between ::",
        "a.csv",
        apart,
        rows,
        [("unreadable_row", "it has 6 fields")],
        {"delimiter": "::"},
        **TITLED,
    )
    empty = csv(f'{head}\n{moved}""\n{rest}')
    yield Case("a delimiter in a value and a last one of quotes", "a.csv", empty, rows, aside, **TITLED)
    twice = csv(f"{head}\n{moved},\n{rest}")
    yield Case(
        "a delimiter in a value and two after the last",
        "a.csv",
        twice,
        rows,
        [("unreadable_row", "it has 7 fields")],
        **TITLED,
    )
    more = csv(f"{head}\nbob,{AT},2,x,y,,\nann,{AT},1,Hello, world,,,\n")
    yield Case(
        "two delimiters at the end of all lines",
        "a.csv",
        more,
        [bob],
        [("unreadable_row", "it has 8 fields")],
        **TITLED,
    )
    every = csv(f"{head}\nbob,{AT},2,x,y,\ncat,{AT},3,,,\n")
    yield Case("a delimiter at the end of all lines", "a.csv", every, [bob, ("cat", "3", None, None)], **TITLED)


def floats() -> Iterator[Case]:
    """Ids that were floats of 64 bits (Steam's, 76561197960265729, are 8 apart as such), and ids that are infinite."""
    lines = [
        f'{{"user": {number}, "item": {n}, "time": "{AT}"}}'
        for n, number in enumerate(
            (
                "76561197960265729.0",
                "7.6561197960265729E16",
                "9007199254740993.0",
                "-1e22",
                "8007199254740991.0",
                "76561197960265729",
                "12e2",
            )
        )
    ]
    rows = [("8007199254740991", "4"), ("76561197960265729", "5"), ("1200", "6")]
    yield Case("ids that were floats", "a.jsonl", jsonl(*lines), rows, [("unreadable_row", FLOAT)] * 4)
    written = [
        "76561197960265728.0",
        "9007199254740993.0",
        "9007199254740991.00",
        "8007199254740993.0",
        "123456789012345678.0000000000",
    ]
    read = [
        "76561197960265728.0",
        "9007199254740993.0",
        "9007199254740991",
        "8007199254740993",
        "123456789012345678",
    ]
    text = csv("user,item,time\n" + "".join(f"{number},{n},{AT}\n" for n, number in enumerate(written)))
    yield Case("ids that were floats", "a.csv", text, [(id_, str(n)) for n, id_ in enumerate(read)])
    whole = [Decimal("76561197960265729.0"), Decimal("12.0")]
    table = parquet(user=pa.array(whole, pa.decimal128(30, 1)), item=[1, 2], time=[AT] * 2)
    yield Case("decimals hold all digits", "a.parquet", table, [("76561197960265729", "1"), ("12", "2")])


def alike() -> Iterator[Case]:
    """Values that each program and each unit writes in its own way: booleans, and times as categories (arrow 38171, pandas 61165)."""
    words = {
        "csv": ["True", "TRUE", "true", "False", "FALSE", "Truest"],
        "jsonl": [True, "True", "true", False, "FALSE", "Truest"],
    }
    rows = [(f"u{n}", device) for n, device in enumerate(("true", "true", "true", "false", "false", "Truest"))]
    text = "user,item,time,device\n" + "".join(f"u{n},{n},{AT},{word}\n" for n, word in enumerate(words["csv"]))
    yield Case("booleans as categories", "a.csv", csv(text), rows, **DEVICES)
    objects = [{"user": f"u{n}", "item": n, "time": AT, "device": word} for n, word in enumerate(words["jsonl"])]
    yield Case("booleans as categories", "a.jsonl", jsonl(*objects), rows, **DEVICES)
    table = parquet(user=["u0", "u1"], item=[1, 2], time=[AT] * 2, device=[True, False])
    yield Case("booleans as categories", "a.parquet", table, [("u0", "true"), ("u1", "false")], **DEVICES)
    half = NOON.replace(microsecond=500_000, tzinfo=None)
    for unit in ("s", "ms", "us", "ns"):
        device = pa.array([NOON.replace(tzinfo=None), half if unit != "s" else None], pa.timestamp(unit))
        rows = [("u0", "2026-01-01 10:00:00"), ("u1", "2026-01-01 10:00:00.5" if unit != "s" else None)]
        table = parquet(user=["u0", "u1"], item=[1, 2], time=[AT] * 2, device=device)
        yield Case(f"times in {unit} as categories", "a.parquet", table, rows, **DEVICES)
    dates = parquet(user=["u0"], item=[1], time=[AT], device=[date(2026, 1, 1)])
    yield Case("dates as categories", "a.parquet", dates, [("u0", "2026-01-01")], **DEVICES)


def times() -> Iterator[Case]:
    """Dates that are none, digits that are missing, zones of several countries (datafusion 9981, dateparser 539, joda-time 4)."""
    wanted, none = ("user", "time"), ["20260230", "20261301", "202613011000", "20260101246000", "20260101.5"]
    at = [("u0", datetime(2026, 1, 1, tzinfo=UTC))]
    text = csv("user,item,time\nu0,1,20260101\n" + "".join(f"x,2,{time}\n" for time in none))
    yield Case(
        "digits that spell no date", "a.csv", text, at, [("unreadable_time", time) for time in none], wanted=wanted
    )
    table = parquet(user=["u0", "x", "x"], item=[1, 2, 3], time=[20260101, 20260230, 20261301])
    aside = [("unreadable_time", "20260230"), ("unreadable_time", "20261301")]
    yield Case("digits that spell no date", "a.parquet", table, at, aside, wanted=wanted)
    short = csv("user,item,time\nu0,1,1.7672616e+09\nx,2,1.767262e+09\nx,3,1.767262E+12\n")
    aside = [("unreadable_time", "1.767262e+09"), ("unreadable_time", "1.767262E+12")]
    yield Case("times of seven digits", "a.csv", short, [("u0", NOON)], aside, wanted=wanted)
    lines = jsonl(
        '{"user": "ann", "item": 1, "time": 1.767262e+09}', '{"user": "u0", "item": 1, "time": 1.7672616e+09}'
    )
    yield Case(
        "times of seven digits",
        "a.jsonl",
        lines,
        [("u0", NOON)],
        [("unreadable_row", "without all its digits")],
        wanted=wanted,
    )
    cut = csv(
        "user,item,time\nu0,1,2026-01-01 10:00:00\nx,2,2026-01-01 10:00:0\nx,3,2026-01-01 10:00:4\nx,4,2026-01-01 01:4\n"
    )
    aside = [("unreadable_time", "10:00:0"), ("unreadable_time", "10:00:4"), ("unreadable_time", "01:4")]
    at_ten = [("u0", NOON)]
    yield Case("seconds that lost a digit", "a.csv", cut, at_ten, aside, wanted=wanted)  # fatebook 90
    short = csv("user,item,time\nu0,1,2026-1-1 10:0:0\n")
    yield Case("numbers without zeros", "a.csv", short, at_ten, wanted=wanted)
    zoned = {**COLUMNS, "time_format": "%Y-%m-%d %H:%M:%S %Z"}
    good = ["2026-01-01 10:00:00 UTC", "2026-01-01 10:00:00 GMT", "2026-01-01 11:00:00 Europe/Paris"]
    vague = [f"2026-01-01 10:00:00 {zone}" for zone in ("CST", "IST", "BST", "EST")]
    text = csv("user,item,time\n" + "".join(f"u{n},{n},{time}\n" for n, time in enumerate([*good, *vague])))
    rows = [(f"u{n}", NOON) for n in range(len(good))]
    aside = [("unreadable_time", time) for time in vague]
    yield Case("zones in a format", "a.csv", text, rows, aside, columns=zoned, wanted=wanted)
    packed = {**COLUMNS, "time_format": "%Y%m%d"}
    days = parquet(user=["u0", "x", "x"], item=[1, 2, 3], time=[20260101, 2026111, 202611])
    aside = [("unreadable_time", "2026111"), ("unreadable_time", "202611")]
    yield Case("numbers without zeros and a format", "a.parquet", days, at, aside, columns=packed, wanted=wanted)
    packed = {**COLUMNS, "time_format": "%d%m%Y"}
    days = csv("user,item,time\nu0,1,01012026\nu1,2,01012026.0\nx,3,1112026\n")
    rows = [("u0", at[0][1]), ("u1", at[0][1])]
    yield Case(
        "numbers without zeros and a format",
        "a.csv",
        days,
        rows,
        [("unreadable_time", "1112026")],
        columns=packed,
        wanted=wanted,
    )


def parts() -> Iterator[Case]:
    """Values of a row that has several: each is read as if it stood alone (pandas 6132, fastDummies 14: the blanks stayed)."""
    tagged = {"columns": {**COLUMNS, "categorical": ["tags"], "multi_value": {"tags": 4}}, "wanted": ("user", "tags")}
    written = ["red | blue", "red|blue|", " red|blue", "red|12.0", "red||blue", "|", "red"]
    read = ["red|blue", "red|blue", "red|blue", "red|12", "red||blue", None, "red"]
    rows = [(f"u{n}", tags) for n, tags in enumerate(read)]
    text = "user,item,time,tags\n" + "".join(f"u{n},{n},{AT},{tags}\n" for n, tags in enumerate(written))
    yield Case("several values with blanks", "a.csv", csv(text), rows, **tagged)
    beside = text + f'u7,7,{AT},"[""red"", ""blue ""]"\n'
    yield Case("several values with blanks, and a list", "a.csv", csv(beside), [*rows, ("u7", "red|blue")], **tagged)
    objects = [{"user": f"u{n}", "item": n, "time": AT, "tags": tags} for n, tags in enumerate(written)]
    yield Case("several values with blanks", "a.jsonl", jsonl(*objects), rows, **tagged)
    table = parquet(
        user=[f"u{n}" for n in range(len(written))], item=["1"] * len(written), time=[AT] * len(written), tags=written
    )
    yield Case("several values with blanks", "a.parquet", table, rows, **tagged)


def fillings() -> Iterator[Case]:
    r"""\0 behind a text of fixed length (ClickHouse 97513), and alone for an empty one, as SQL Server's bcp writes it."""
    rows = [("ann", "NO"), ("bob", None), ("cat", "NO")]
    written = [("ann\0\0", "NO"), ("bob", "\0"), ("cat", "NO\0\0")]
    text = "user,item,time,device\n" + "".join(f"{user},1,{AT},{device}\n" for user, device in written)
    yield Case("bytes of zero behind values", "a.csv", csv(text), rows, **DEVICES)
    objects = [{"user": user, "item": 1, "time": AT, "device": device} for user, device in written]
    yield Case("bytes of zero behind values", "a.jsonl", jsonl(*objects), rows, **DEVICES)
    table = parquet(
        user=[user for user, _ in written], item=[1] * 3, time=[AT] * 3, device=[device for _, device in written]
    )
    yield Case("bytes of zero behind values", "a.parquet", table, rows, **DEVICES)


def category_floats() -> Iterator[Case]:
    """Categories that were floats of 64 bits (datasets 8365): two campaigns became one in JSON, though not as users."""
    written = ["76561197960265729.0", "76561197960265730.0", "12.0", "1.5", "76561197960265729"]
    lines = [f'{{"user": "u{n}", "item": 1, "time": "{AT}", "device": {device}}}' for n, device in enumerate(written)]
    rows = [("u2", "12"), ("u3", "1.5"), ("u4", "76561197960265729")]
    yield Case(
        "categories that were floats", "a.jsonl", jsonl(*lines), rows, [("unreadable_row", FLOAT)] * 2, **DEVICES
    )


def decimals() -> Iterator[Case]:
    """Decimals as numbers (polars 22946): a cast made 100.10000000000001 of 100.1, which is 100.1 in a csv file."""
    priced = {"columns": {**COLUMNS, "numeric": ["price"]}, "wanted": ("user", "price")}
    for kind in (pa.decimal32(4, 1), pa.decimal128(38, 1)):
        price = pa.array([Decimal("100.1"), None], kind)
        table = parquet(user=["u0", "u1"], item=[1, 2], time=[AT] * 2, price=price)
        yield Case(f"{kind} as numbers", "a.parquet", table, [("u0", 100.1), ("u1", None)], **priced)


def words() -> Iterator[Case]:
    """T is a trace of rain in NOAA's numbers (pyIEM 837), and was 1.0; as labels, letters are those of PostgreSQL."""
    priced = {"columns": {**COLUMNS, "numeric": ["price"]}, "wanted": ("user", "price")}
    numbers, letters = {"0.12": 0.12, "True": 1.0, "no": 0.0, "N/A": None}, ["T", "f", "Y", "n"]
    rows = [(f"u{n}", number) for n, number in enumerate(numbers.values())]
    aside = [("unreadable_number", f'"{letter}"') for letter in letters]
    users = [f"u{n}" for n in range(len(numbers) + len(letters))]
    table = {"user": users, "item": ["1"] * len(users), "time": [AT] * len(users), "price": [*numbers, *letters]}
    text = "".join(",".join(row) + "\n" for row in zip(*table.values(), strict=True))
    yield Case("letters as numbers", "a.csv", csv("user,item,time,price\n" + text), rows, aside, **priced)
    objects = (dict(zip(table, row, strict=True)) for row in zip(*table.values(), strict=True))
    yield Case("letters as numbers", "a.jsonl", jsonl(*objects), rows, aside, **priced)
    yield Case("letters as numbers", "a.parquet", parquet(**table), rows, aside, **priced)
    late = ["2026-01-01 10:00:00,1000", "2026-01-01 10:00:00.1000"]  # salt 33716: 999.9 ms, rounded on their own
    text = csv("user,item,time\n" + "".join(f'x,1,"{time}"\n' for time in late) + 'u0,1,"2026-01-01 10:00:00,000"\n')
    odd = [("unreadable_time", time) for time in late]
    yield Case("a thousand milliseconds", "a.csv", text, [("u0", NOON)], odd, wanted=("user", "time"))


def endless() -> Iterator[Case]:
    """Dates that are infinite (duckdb-postgres 102), or of no year that is read: one of them stopped the night with an error of Arrow."""
    days = pa.array([20_454, 2**31 - 1, None, 1 - 2**31, 2_932_897], pa.int32()).cast(pa.date32())
    table = parquet(user=["u0", "x", "y", "x", "x"], item=[1] * 5, time=days)
    aside = [
        ("unreadable_row", f"its date is infinite, or of no year from 1 to 9999: {day}")
        for day in (2**31 - 1, 1 - 2**31, 2_932_897)
    ]
    rows = [("u0", datetime(2026, 1, 1, tzinfo=UTC))]
    yield Case("infinite dates", "a.parquet", table, rows, [*aside, ("null_time", '"y"')], wanted=("user", "time"))


REPORTED = [
    *endless(),
    *words(),
    *decimals(),
    *shifted(),
    *floats(),
    *alike(),
    *times(),
    *parts(),
    *fillings(),
    *category_floats(),
]
