"""Corpus of exports: files as other programs write them, found in public reports after those of corpus_public."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime

import pyarrow as pa

from tests.sources.corpus import AT, COLUMNS, NOON, Case, csv, jsonl, parquet

TWO = [("ann", "1"), ("bob", "2")]


def blanks() -> Iterator[Case]:
    """Blanks around quotes, and delimiters of several characters (csv-parser 201, univocity 404, PapaParse 866)."""
    comment = {"comment": "#"}
    text = f'user, item, time\nann, "1", {AT}\n"bob" ,"2" ,{AT}\n'
    yield Case("blanks around quotes, line by line", "a.csv", csv(text), TWO, options=comment)
    titled = "user, title, item, time\nann, x, 1, {0}\nbob, {1}y, 2, {0}\ncat, z{1}, 3, {0}\ndan, z, 4, {0}\n"
    stray = [("unreadable_row", "a.csv:3: a quote is opened here and closed in line 4")]
    for end in ("\n", "\r\n"):
        lines = csv(titled.format(AT, '"').replace("\n", end))
        rows = [("ann", "1"), ("cat", "3"), ("dan", "4")]
        yield Case(f"quotes in two rows after blanks, ends {end!r}", "a.csv", lines, rows, stray)
    for several in ("||", "~|~", "::"):
        apart = {"delimiter": several}
        text = f'user,title,item,time\n"ann",x,1,{AT}\nbob,"y,z","2",{AT}\n'.replace(",", several)
        yield Case(f"quotes between {several}", "a.csv", csv(text), TWO, options=apart)
        yield Case(f"quotes between {several}, line by line", "a.csv", csv(text), TWO, options={**apart, **comment})


def numbers() -> Iterator[Case]:
    """Numbers that are none (csvkit 1246, pyexcel 138): DuckDB reads the advertising place 430548_1007 as 4305481007."""
    priced = {"columns": {**COLUMNS, "numeric": ["price"]}, "wanted": ("user", "price")}
    words, good = ["430548_1007", "1_000", "3_4.5"], [("ann", 12.5), ("bob", -3.0)]
    rows = [{"user": f"u{n}", "item": n, "time": AT, "price": word} for n, word in enumerate(words)]
    rows += [{"user": user, "item": 1, "time": AT, "price": str(price)} for user, price in good]
    aside = [("unreadable_number", f"{word} (has '_')") for word in words]
    text = "user,item,time,price\n" + "".join(",".join(map(str, row.values())) + "\n" for row in rows)
    table = {name: [row[name] for row in rows] for name in rows[0]}
    for name, content in {"a.csv": csv(text), "a.jsonl": jsonl(*rows), "a.parquet": parquet(**table)}.items():
        yield Case("numbers with _", name, content, good, aside, **priced)
    times = csv(
        f"user,item,time\nann,1,{AT}\nbob,2,17672_61600\ncat,3,2026_01_01\ndan,4,2026-01-01 05:00:00 America/New_York\n"
    )
    read = [("ann", "1"), ("dan", "4")]
    yield Case("times with _", "a.csv", times, read, [("unreadable_time", "17672_"), ("unreadable_time", "2026_01")])


def coarse() -> Iterator[Case]:
    """Times in floats of 32 bits, which are minutes off (RecBole 1653, mmdetection3d 296); a few such numbers are exact."""
    days = {**COLUMNS, "time_unit": "days"}
    exact = parquet(user=["ann", "bob"], item=[1, 2], time=pa.array([20454.0, 20454.5], pa.float32()))
    midnight = [("ann", datetime(2026, 1, 1, tzinfo=UTC))]
    yield Case(
        "days as floats of 32 bits",
        "a.parquet",
        exact,
        midnight,
        [("unreadable_time", "20454.5")],
        columns=days,
        wanted=("user", "time"),
    )


def offsets() -> Iterator[Case]:
    """Offsets behind UTC, of which DuckDB passes over the minutes, and POSIX's Etc/GMT-5, which is five hours ahead (go-timezone 15).

    Snowflake writes a blank between a fraction and the offset.
    """
    zoned = [
        "2026-01-01 15:30:00 UTC+05:30", "2026-01-01T15:30:00 UTC+0530", "2026-01-01 15:45:00.000 UTC+5:45",
        "2026-01-01 11:00:00 Europe/Paris", "2026-01-01 06:30:00 UTC-3:30", "2026-01-01 10:00:00", "2026-01-01 15:00:00 UTC+5",
        "2026/01/01 15:00:00 Etc/GMT-5", AT, "2026-01-01 02:00:00.000 -0800", "2026-01-01 15:30:00.000000000 +05:30",
        "2026-01-01T06:30:00 -03:30", "2026/01/01 11:00:00 +0100", "2026-01-01 10:00:00.000 Z",
    ]  # fmt: skip
    rows, wanted = [(f"u{n}", NOON) for n in range(len(zoned))], ("user", "time")
    objects = [{"user": f"u{n}", "item": n, "time": time} for n, time in enumerate(zoned)]
    yield Case("minutes of an offset", "a.jsonl", jsonl(*objects), rows, wanted=wanted)
    text = csv("user,item,time\n" + "".join(f"u{n},{n},{time}\n" for n, time in enumerate(zoned)))
    yield Case("minutes of an offset", "a.csv", text, rows, wanted=wanted)
    table = parquet(user=[f"u{n}" for n in range(len(zoned))], item=[*range(len(zoned))], time=zoned)
    yield Case("minutes of an offset", "a.parquet", table, rows, wanted=wanted)
    none = [
        "2026-01-01 12:00+25",
        "20260101T120000-23",
        "2026-01-01 12:00:00 +9900",
        "2026-01-01 12:00:00 UTC+05:305",
        "01/Jan/2026:12:00:00 -1600",
        "2026-01-01 12:00:00.000 -1630",
        "2026-01-01 12:00:00.000 +080",
        "2026-01 -01 12:00:00",
    ]
    text = csv(f"user,item,time\nu0,1,{AT}\n" + "".join(f"x,{n},{time}\n" for n, time in enumerate(none)))
    aside = [("unreadable_time", time) for time in none]
    yield Case("offsets that are none", "a.csv", text, rows[:1], aside, wanted=wanted)
    text = csv("user,item,time\nu0,1,2026-01-01 15:00:00 UTC+5\nx,2,2026-01-01 15:30:00 UTC+05:30\n")
    named = {**COLUMNS, "time_format": "%Y-%m-%d %H:%M:%S %Z"}
    aside = [("unreadable_time", "UTC+05:30")]
    yield Case("minutes of an offset and a format", "a.csv", text, rows[:1], aside, columns=named, wanted=wanted)


def shortened() -> Iterator[Case]:
    """Numbers of JSON that a writer shortened: C's %g, and Lua's cjson, which keeps 14 digits (lua-cjson 37)."""
    short = [
        f'{{"user": 1.2345678901235e+15, "item": 1, "time": "{AT}"}}', f'{{"item": -1.23457E+12, "user": "ann", "time": "{AT}"}}',
        '{"user": "ann", "item": 1, "time":1.76726e+09}', '{"user": "ann", "item": 1, "time" : 2e+09}',
    ]  # fmt: skip
    second = NOON.timestamp()
    good = [
        f'{{"user": "ann", "item": 1e+3, "price": 1.5e+10, "time": {second / 1e9}e+09}}',
        f'{{"user": "1.5e+10", "item": 12.0e+1, "time": {second:.0f}}}',
    ]
    rows = [("ann", "1000", NOON), ("1.5e+10", "120", NOON)]
    aside = [("unreadable_row", f"without all its digits, write it with them: {line}") for line in short]
    yield Case(
        "numbers that were shortened", "a.jsonl", jsonl(*short, *good), rows, aside, wanted=("user", "item", "time")
    )


def escapes() -> Iterator[Case]:
    """Backslashes of MySQL (tidb 19661, tatoeba2 2250), PostgreSQL and ClickHouse (9058), and those that are read in two ways."""
    titled = {"columns": {**COLUMNS, "categorical": ["title"]}, "wanted": ("user", "title", "item")}
    head, plain = "user\ttitle\titem\ttime\n", {"escape": "\\", "quote": ""}
    values = {r"a\tb": "a\tb", "a\\\tb": "a\tb", r"a\nb": "a\nb", "a\\\nb": "a\nb", r"a\\b": "a\\b", r"a\\\\nb": r"a\\nb", r"a\'b": "a'b",
              r"\N": None, 'a"b': 'a"b', "a\\\\": "a\\"}  # fmt: skip
    for end in ("\n", "\r\n"):
        lines = [f"dom\\\\ann\t{raw}\t{n}\t{AT}\n" for n, raw in enumerate(values)]
        rows = [(r"dom\ann", read, str(n)) for n, read in enumerate(values.values())]
        text = csv((head + "".join(lines)).replace("\n", end))
        yield Case(f"backslashes without quotes, ends {end!r}", "a.tsv", text, rows, options=plain, **titled)
    short = csv(f"{head}ann\tx\t1\t{AT}\nbob\ty\\\t2\t{AT}\ncat\tz\t3\t{AT}\n")
    lost = [("unreadable_row", "it has 3 fields")]
    yield Case("a backslash too many", "a.tsv", short, [("ann", "x", "1"), ("cat", "z", "3")], lost, plain, **titled)
    quoted = {"escape": "\\"}
    good = {
        r'"a\"b"': 'a"b',
        r'"a\\b"': r"a\b",
        r'"a, b"': "a, b",
        r"\N": None,
        r'"\N"': None,
        "x": "x",
        r'"c\\N"': r"c\N",
    }
    unclear = [r"a\\b", r"a\tb", r"C:\new", r'"C:\new"', r'"a\\\n"']
    head = "user,note,title,item,time\n"
    lines = [f"u{n},{r'C:/x' + chr(92) + 'y'},{raw},{n},{AT}\n" for n, raw in enumerate([*good, *unclear])]
    rows = [(f"u{n}", read, str(n)) for n, read in enumerate(good.values())]
    aside = [("unreadable_row", "programs read a backslash in two ways here")] * len(unclear)
    yield Case("backslashes and quotes", "a.csv", csv(head + "".join(lines)), rows, aside, quoted, **titled)
    ids = csv(f'user,item,time\nDOM\\\\ann,1,{AT}\n"DOM\\\\ann",2,{AT}\n')
    yield Case("an id with a backslash", "a.csv", ids, [(r"DOM\ann", "2")], aside[:1], quoted)
    yield Case("a backslash that has no meaning", "a.csv", ids, [(r"DOM\\ann", "1"), (r"DOM\\ann", "2")])


EXPORTS = [*blanks(), *numbers(), *coarse(), *offsets(), *shortened(), *escapes()]
