"""Corpus of public reports: each case is the situation of a thread in a public issue tracker, made small here."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime
from decimal import Decimal
from io import BytesIO
from uuid import UUID

import pyarrow as pa
import pyarrow.parquet as pq

from tests.sources.corpus import AT, COLUMNS, NOON, Case, csv, jsonl, parquet

TITLED = "user,title,item,time"
STRAY = "a quote is opened here and closed in line "


def quotes() -> Iterator[Case]:
    """Quotes that are none: polars 14235, 15022, 19078 and 21519, duckdb 1501."""
    rows = [("bob", "2"), ("cat", "3"), ("dan", "4")]
    middle = {"bob": f"b,2,{AT}", "cat": f'c",3,{AT}', "dan": f"d,4,{AT}"}
    for end in ("\n", "\r\n"):
        text = end.join([TITLED, f'ann,"a,1,{AT}', *(f"{user},{rest}" for user, rest in middle.items()), ""])
        yield Case(
            f"quotes in two rows, ends {end!r}", "a.csv", csv(text), rows, [("unreadable_row", f"a.csv:2: {STRAY}4")]
        )
        others = {
            "in the first column": f'title,user,item,time{end}"a,ann,1,{AT}{end}b,bob,2,{AT}{end}c",cat,3,{AT}{end}d,dan,4,{AT}{end}',
            "in the last column": f'user,item,time,title{end}ann,1,{AT},"a{end}bob,2,{AT},b{end}cat,3,{AT},c"{end}dan,4,{AT},d{end}',
        }
        for where, content in others.items():
            yield Case(f"quotes {where}, ends {end!r}", "a.csv", csv(content), rows, [("unreadable_row", STRAY)])
    tabs = text.replace("\r\n", "\n").replace(",", "\t")
    yield Case("quotes in two rows", "a.tsv", csv(tabs), rows, [("unreadable_row", STRAY)])
    single = tabs.replace('"', "'")
    yield Case("single quotes in two rows", "a.tsv", csv(single), rows, [("unreadable_row", STRAY)], {"quote": "'"})
    latin = {"encoding": "latin-1"}
    accents = text.replace("ann", "Jos\xe9").encode("latin-1")
    yield Case("quotes in two rows, latin-1", "a.csv", accents, rows, [("unreadable_row", STRAY)], latin)
    every = [("ann", "1"), *rows]
    yield Case("quotes in two rows and none meant", "a.csv", csv(text), every, options={"quote": ""})
    yield Case("quotes in two rows, ::", "a.dat", csv(text.replace(",", "::")), every)
    far = [f"u{n},x,{n},{AT}" for n in range(150)]
    text = "\n".join([TITLED, f'ann,"a,1,{AT}', *far, f'cat,c",3,{AT}', ""])
    found = [*((f"u{n}", str(n)) for n in range(150)), ("cat", "3")]
    yield Case("quotes in two rows far apart", "a.csv", csv(text), found, [("unreadable_row", "never closed")])
    meant = f'{TITLED}\nann,"well, yes,\nno, it, is 2026",1,{AT}\nbob,"a\n\nb, 5"" 1,2,3,4",2,{AT}\n'
    yield Case("quotes over lines that are meant", "a.csv", csv(meant), [("ann", "1"), ("bob", "2")])
    inches = f'{TITLED}\nann,abc",1,{AT}\nbob,5",2,{AT}\n'
    yield Case("quotes at the end of values", "a.csv", csv(inches), [("ann", "1"), ("bob", "2")])


def times() -> Iterator[Case]:
    """Years of two digits (submersion 1829, CSV.jl 620), offsets that are none, instants of Spark (datafusion 9981) and others."""
    odd = ["01 Jan 26 10:00:00", "1/1/26 10:00 AM", "1-Jan-26", "01/Jan/26:10:00:00 -0500", "2026-01-01 (BC)",
           "2026-01-01 10:00:00-99", "2026-01-01 10:00:00+25:00", "2026-01-01 10:00:00CST", "2026-W01-1"]  # fmt: skip
    good, wanted = [("u0", NOON)], ("user", "time")
    text = f"user,item,time\nu0,0,{AT}\n" + "".join(f"x,1,{time}\n" for time in odd)
    yield Case(
        "years of two digits", "a.csv", csv(text), good, [("unreadable_time", time) for time in odd], wanted=wanted
    )
    short = csv("user,item,time\nu0,1,01/01/2026 10\nu1,1,01/01/26 10\n")
    own = {**COLUMNS, "time_format": "%d/%m/%Y %H"}
    yield Case(
        "a year of two digits and a format",
        "a.csv",
        short,
        good,
        [("unreadable_time", "01/01/26")],
        columns=own,
        wanted=wanted,
    )
    short = csv("user,item,time\nu0,1,01/01/26 10\n")
    own = {**COLUMNS, "time_format": "%d/%m/%y %H"}
    yield Case("a year that a format shortens", "a.csv", short, good, columns=own, wanted=wanted)
    sink = BytesIO()
    spark = pa.table({"user": ["u0"], "item": [1], "time": pa.array([NOON], pa.timestamp("ns", "UTC"))})
    pq.write_table(spark, sink, use_deprecated_int96_timestamps=True)
    yield Case("INT96", "a.parquet", sink.getvalue(), good, wanted=wanted)
    second = int(NOON.timestamp())
    for kind, values in {
        "decimal": pa.array([Decimal(second)], pa.decimal128(20, 3)), "dictionary": pa.array([AT]).dictionary_encode(),
        "duration": pa.array([second], pa.duration("s")), "uint64": pa.array([second], pa.uint64()),
    }.items():  # fmt: skip
        yield Case(f"times as {kind}", "a.parquet", parquet(user=["u0"], item=[1], time=values), good, wanted=wanted)
    midnight = [("u0", datetime(2026, 1, 1, tzinfo=UTC))]
    dates = parquet(user=["u0"], item=[1], time=pa.array([date(2026, 1, 1)], pa.date64()))
    yield Case("date64", "a.parquet", dates, midnight, wanted=wanted)


def ids() -> Iterator[Case]:
    """Ids beyond 64 bits (json 140), UUIDs, marks of direction, NaN beside them (pandas 30716), RecBole's names (2000)."""
    large = ["123456789012345678901", "123456789012345678902", "-9223372036854775809"]
    lines = jsonl(*(f'{{"user": {number}, "item": {n}, "time": "{AT}"}}' for n, number in enumerate(large)))
    yield Case("ids beyond 64 bits", "a.jsonl", lines, [(number, str(n)) for n, number in enumerate(large)])
    one = UUID(int=5)
    table = parquet(user=pa.array([one.bytes], pa.uuid()), item=[1], time=[AT])
    yield Case("UUIDs", "a.parquet", table, [(str(one), "1")])
    marked = csv(f"user,item,time\n\u200eann,1,{AT}\nann\u200f,2,{AT}\n\u202aann\u202c,3,{AT}\n")
    yield Case("marks of direction", "a.csv", marked, [("ann", "1"), ("ann", "2"), ("ann", "3")])
    nan = f'{{"user": "ann", "item": 1, "time": "{AT}", "x": NaN}}'
    yield Case("NaN in JSON", "a.jsonl", jsonl(nan), [("ann", "1")])
    commas = csv(f"user;item;time\n12,0;7,50;{AT}\n-7,00;0012;{AT}\n")
    yield Case(
        "whole numbers with a decimal comma",
        "a.csv",
        commas,
        [("12", "7,50"), ("-7", "0012")],
        options={"decimal": ","},
    )
    named = csv(f"user:token\titem:token\ttime:float\nann\t1\t{int(NOON.timestamp())}.0\n")
    roles = {"user": "user:token", "item": "item:token", "time": "time:float"}
    yield Case("RecBole", "a.tsv", named, [("ann", "1")], columns=roles)
    lists = jsonl(
        *(
            {"user": f"u{n}", "item": n, "time": AT, "tags": tags}
            for n, tags in enumerate((["a", "b"], [], ["c", 1.0, True], "x|y", None))
        )
    )
    tagged = {**COLUMNS, "categorical": ["tags"], "multi_value": {"tags": 3}}
    rows = [("u0", "a|b"), ("u1", None), ("u2", "c|1|true"), ("u3", "x|y"), ("u4", None)]
    yield Case("lists", "a.jsonl", lists, rows, columns=tagged, wanted=("user", "tags"))
    text = csv(f'user,item,time,tags\nu0,1,{AT},"[""a"", ""b""]"\nu1,1,{AT},[sic] promo\nu3,1,{AT},x|y\n')
    rows = [("u0", "a|b"), ("u1", "[sic] promo"), ("u3", "x|y")]
    yield Case("lists as JSON has them", "a.csv", text, rows, columns=tagged, wanted=("user", "tags"))
    bare = csv(f"user,item,time,tags\nu0,1,{AT},a\nu1,1,{AT},[a]\nu2,1,{AT},{{a}}\nu3,1,{AT},[a b] \n")
    aside = [("unreadable_row", "no list that can be read")] * 3
    yield Case(
        "a list of one without quotes", "a.csv", bare, [("u0", "a")], aside, columns=tagged, wanted=("user", "tags")
    )
    hive = csv(f"ann\x011\x01{AT}\nbob\x01\\N\x01{AT}\n")
    apart = {"delimiter": "\x01", "names": ["user", "item", "time"]}
    yield Case("Hive", "a.txt", hive, [("ann", "1")], [("null_item", "bob")], apart)
    seen = f"user,title,item,time\nann,a\u2028b\x85c\x0bd\x0ce,1,{AT}\nbob,x,2,{AT}\n"
    yield Case("signs that end lines elsewhere", "a.csv", csv(seen), [("ann", "1"), ("bob", "2")])


def silent() -> Iterator[Case]:
    """What was read without a word: duckdb's zones, Excel's and Spark's exponents, MySQL's nulls, numbers of JSON (duckdb 24989)."""
    zoned = [AT, "2026-01-01 11:00:00 Europe/Paris", "2026-01-01 10:00:00", "2026-01-01 11:00:00 UTC+1", AT]
    rows = [(f"u{n}", NOON) for n in range(len(zoned))]
    objects = [{"user": f"u{n}", "item": n, "time": time} for n, time in enumerate(zoned)]
    yield Case("a zone goes no further", "a.jsonl", jsonl(*objects), rows, wanted=("user", "time"))
    text = csv("user,item,time\n" + "".join(f"u{n},{n},{time}\n" for n, time in enumerate(zoned)))
    yield Case("a zone goes no further", "a.csv", text, rows, wanted=("user", "time"))
    table = parquet(user=[f"u{n}" for n in range(5)], item=[*range(5)], time=zoned)
    yield Case("a zone goes no further", "a.parquet", table, rows, wanted=("user", "time"))
    short = ["1.76726E+12", "1.76726e+09", "2E+09"]
    text = csv(
        f"user,item,time\nu0,0,1.7672616E9\nu1,1,1.7672616e+18\n{''.join(f'x,1,{time}{chr(10)}' for time in short)}"
    )
    yield Case(
        "times with few digits",
        "a.csv",
        text,
        rows[:2],
        [("unreadable_time", one) for one in short],
        wanted=("user", "time"),
    )
    titled, escaped = {**COLUMNS, "categorical": ["title"]}, {"escape": "\\"}
    for end in ("\n", "\r\n"):
        lines = [
            "user,title,item,time",
            f'ann,"x\\"y",1,{AT}',
            f"\\N,q,2,{AT}",
            f'cat,"\\N",3,{AT}',
            f'dan,"c\\\\N",4,{AT}',
            "",
        ]
        found = [("ann", 'x"y'), ("cat", None), ("dan", "c\\N")]
        yield Case(
            f"nulls of MySQL, ends {end!r}",
            "a.csv",
            csv(end.join(lines)),
            found,
            [("null_user", "")],
            escaped,
            titled,
            ("user", "title"),
        )
    yield Case(
        "nulls that were escaped",
        "a.csv",
        csv(f"user,item,time\n\\\\N,1,{AT}\nann,1,{AT}\n"),
        [("ann", "1")],
        [("null_user", "")],
    )
    many = [{"user": f"u{n}", "item": n, "time": AT, "device": "x"} for n in range(1001)]
    late = [
        f'{{"user": "a", "item": 1, "time": "{AT}", "device": "p", "device": "q"}}',
        {"user": "b", "item": 1, "time": AT, "Device": "y"},
    ]
    both = {"user": "c", "item": 1, "time": AT, "Device": "y", "device": "z"}
    aside = [("unreadable_row", "a key stands here twice, or in upper or lower case unlike elsewhere")] * 2
    read = [*((f"u{n}", "x") for n in range(1001)), ("c", "z")]
    device = {**COLUMNS, "categorical": ["device"]}
    yield Case(
        "late keys", "a.jsonl", jsonl(*many, *late, both), read, aside, columns=device, wanted=("user", "device")
    )
    ids = jsonl(
        *(
            f'{{"user": {id_}, "item": 1, "time": "{AT}"}}'
            for id_ in ("1234567890.1700000001", "883406386745030.31", "12.50", "1e3")
        )
    )
    yield Case(
        "ids with many digits",
        "a.jsonl",
        ids,
        [("12.5", "1"), ("1000", "1")],
        [("unreadable_row", "an id has more digits")] * 2,
    )


def loaders() -> Iterator[Case]:
    """What others read wrongly: data.table 1612, datatable 590, python-zstandard 59, polars 15011, pandas 9295, vector 8487, gson 3113."""
    head, two, wanted = "user,item,time\n", [("ann", "1"), ("bob", "2")], ("user", "time")
    ann, bob = f"ann,1,{AT}\n", f"bob,2,{AT}\n"
    for name, end in {"Ctrl-Z": "\x1a", "Ctrl-Z and a line end": "\x1a\n", "zeros": "\0" * 300}.items():
        yield Case(f"{name} at the end", "a.csv", csv(head + ann + bob + end), two, [("unreadable_row", "a.csv:4: ")])
    for name, end in {"CR CR LF": "\r\r\n", "LF CR": "\n\r"}.items():
        yield Case(f"ends {name}", "a.csv", csv((head + ann + bob).replace("\n", end)), two)
    yield Case("delimiters at the end of some lines", "a.csv", csv(head + ann.replace("\n", ",\n") + bob), two)
    yield Case("blanks before quotes", "a.csv", csv(f'user, item, time\nann, "1", "{AT}"\n"bob" ,"2" ,{AT}\n'), two)
    yield Case("two marks at the start", "a.csv", csv("\ufeff\ufeff" + head + ann + bob), two)
    yield Case("a mark and quoted names", "a.csv", csv('\ufeff"user","item","time"\n' + ann + bob), two)
    yield Case(
        "two delimiters", "a.csv", csv(head + ann + bob.replace(",", ";")), two[:1], [("unreadable_row", "bob;2")]
    )
    frames = _zstd(head + ann) + _zstd("") + b"\x50\x2a\x4d\x18\x04\0\0\0note" + _zstd(bob)
    yield Case("several frames", "a.csv.zst", frames, two)
    pzstd = b"\x50\x2a\x4d\x18\x04\0\0\0size" + _zstd(head + ann) + b"\x5f\x2a\x4d\x18\0\0\0\0" + _zstd(bob)
    yield Case("a first frame that is passed over", "a.csv.zst", pzstd, two)
    lines = [
        f'{{"user": "{user}", "item": {item}, "time": "{AT}"}}' for user, item in (("ann", 1), ("bob", 2), ("cat", 3))
    ]
    yield Case("a mark at the start", "a.jsonl", csv("\ufeff" + "\n".join(lines[:2])), two)
    joined = csv(lines[0] + "\n" + lines[2] + lines[2] + "\n" + lines[1])
    yield Case("two objects in a line", "a.jsonl", joined, two, [("unreadable_row", "cat")])
    torn = jsonl(lines[0], lines[2].replace("cat", "c\\ud83d"), lines[1])
    yield Case("half a letter", "a.jsonl", torn, two, [("unreadable_row", "ud83d")])
    escaped = jsonl(lines[0].replace('"user"', '"\\u0075ser"'), lines[1])
    yield Case("an escaped key", "a.jsonl", escaped, two)
    fractions = {
        "20260101100000.5": 500_000,
        "20260101100000.999999": 999_999,
        "20260101100000.000": 0,
        "20260101100000.": 0,
    }
    text = head + "".join(f"u{n},{n},{time}\n" for n, time in enumerate(fractions)) + "v,1,20260101235959.999999\n"
    rows = [(f"u{n}", NOON.replace(microsecond=micros)) for n, micros in enumerate(fractions.values())]
    last = ("v", datetime(2026, 1, 1, 23, 59, 59, 999_999, UTC))
    yield Case("digits with a fraction", "a.csv", csv(text), [*rows, last], wanted=wanted)
    for kind, values in {
        "float": pa.array([20260101100000.5]), "decimal": pa.array([Decimal("20260101100000.500000")]),
    }.items():  # fmt: skip
        yield Case(
            f"digits with a fraction, {kind}",
            "a.parquet",
            parquet(user=["u0"], item=[1], time=values),
            rows[:1],
            wanted=wanted,
        )
    beyond = parquet(
        user=["x", "u0"], item=[1, 2], time=pa.array([2**62, int(NOON.timestamp() * 1e6)], pa.timestamp("us"))
    )
    yield Case(
        "a time beyond the year 9999", "a.parquet", beyond, [("u0", NOON)], [("unreadable_time", "148")], wanted=wanted
    )


def _zstd(text: str) -> bytes:
    sink = pa.BufferOutputStream()
    with pa.CompressedOutputStream(sink, "zstd") as stream:
        stream.write(text.encode())
    return sink.getvalue().to_pybytes()


PUBLIC = [*quotes(), *times(), *ids(), *silent(), *loaders()]
