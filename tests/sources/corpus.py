"""Corpus: a small file for each way in which logs are written, in each format, and what must be read of it.

All of it is made here. The situations are those of public bug reports and of the usual data sets.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from io import BytesIO

import pyarrow as pa
import pyarrow.parquet as pq

COLUMNS = {"user": "user", "item": "item", "time": "time"}
CLICKS = {**COLUMNS, "label": "label"}
AT = "2026-01-01T10:00:00"
NOON = datetime(2026, 1, 1, 10, tzinfo=UTC)


@dataclass(frozen=True)
class Case:
    """One file. `rows`: what must be read of its wanted columns; `aside`: the reason and a part of the text of other rows."""

    name: str
    file: str
    content: bytes
    rows: Sequence[tuple[object, ...]]
    aside: Sequence[tuple[str, str]] = ()
    options: Mapping[str, object] = field(default_factory=dict)
    columns: Mapping[str, object] = field(default_factory=lambda: COLUMNS)
    wanted: Sequence[str] = ("user", "item")


def csv(text: str | bytes) -> bytes:
    return text.encode() if isinstance(text, str) else text


def jsonl(*rows: object) -> bytes:
    return "".join((row if isinstance(row, str) else json.dumps(row)) + "\n" for row in rows).encode()


def parquet(**columns: object) -> bytes:
    sink = BytesIO()
    pq.write_table(pa.table(columns), sink)
    return sink.getvalue()


def ids() -> Iterator[Case]:
    """Ids: one rule for every format."""
    written = {
        "12": "12", "12.0": "12", "12.00": "12", "0012": "0012", "0000000012": "0000000012", "1e3": "1e3", "-7": "-7", "-7.0": "-7",
        "9223372036854775807": "9223372036854775807", "-9223372036854775808": "-9223372036854775808",
        "18446744073709551615": "18446744073709551615", "  ann ": "ann", "12.5": "12.5", "+12": "+12", "0x1F": "0x1F", "a.0": "a.0",
    }  # fmt: skip
    rows = [(id_, str(n)) for n, id_ in enumerate(written.values())]
    for whole in (True, False):  # the value alone decides, whatever stands beside it
        text = "user,item,time\n" + "".join(
            f'"{id_}",{n if whole else float(n)},{AT}\n' for n, id_ in enumerate(written)
        )
        yield Case(f"ids as text, items {'whole' if whole else 'with points'}", "a.csv", csv(text), rows)
    lines = jsonl(*({"user": id_, "item": n, "time": AT} for n, id_ in enumerate(written)))
    yield Case("ids as text", "a.jsonl", lines, rows)
    table = parquet(user=list(written), item=list(range(len(written))), time=[AT] * len(written))
    yield Case("ids as text", "a.parquet", table, rows)
    numbers = [12, 12.0, 1e3, -7, -7.0, 0.0, -0.0, 12.5, 2**63, 18446744073709551615]
    folded = ["12", "12", "1000", "-7", "-7", "0", "0", "12.5", "9223372036854775808", "18446744073709551615"]
    as_json = [f'{{"user": {number!r}, "item": {n}.0, "time": "{AT}"}}' for n, number in enumerate(numbers)]
    yield Case("ids as numbers", "a.jsonl", jsonl(*as_json), [(id_, str(n)) for n, id_ in enumerate(folded)])
    written_so = ("1e3", "1E+3", "10.0e2", '"1e3"')
    exponents = jsonl(*(f'{{"user": {number}, "item": {n}, "time": "{AT}"}}' for n, number in enumerate(written_so)))
    yield Case("exponents", "a.jsonl", exponents, [("1000", "0"), ("1000", "1"), ("1000", "2"), ("1e3", "3")])
    kinds = {
        "double": (pa.array([12.0, 1e3, -7.0, -0.0, 12.5]), ["12", "1000", "-7", "0", "12.5"]),
        "int64": (pa.array([12, -7, 2**63 - 1]), ["12", "-7", "9223372036854775807"]),
        "uint64": (pa.array([2**64 - 1], pa.uint64()), ["18446744073709551615"]),
        "decimal": (pa.array([Decimal("12.00"), Decimal("-7.00")]), ["12", "-7"]),
        "dictionary": (pa.array(["12.0", "ann"]).dictionary_encode(), ["12", "ann"]),
        "large text": (pa.array([" 12.0"], pa.large_string()), ["12"]),
    }
    for kind, (values, expected) in kinds.items():
        table = parquet(user=values, item=[1] * len(values), time=[AT] * len(values))
        yield Case(f"ids as {kind}", "a.parquet", table, [(id_, "1") for id_ in expected])


def missing() -> Iterator[Case]:
    """What stands for a missing id."""
    words = [r"\N", "NULL", "None", "NaN", "nan", "null", "", "  ", "<NA>"]
    aside = [("null_user", "")] * len(words)
    text = "user,item,time\n" + "".join(f"{word},1,{AT}\n" for word in words) + f"ann,1,{AT}\n"
    yield Case("no user", "a.csv", csv(text), [("ann", "1")], aside)
    objects = [{"user": word, "item": 1, "time": AT} for word in [*words[:-2], None, "<NA>"]]
    yield Case("no user", "a.jsonl", jsonl(*objects, {"user": "ann", "item": 1, "time": AT}), [("ann", "1")], aside)
    table = parquet(user=[*words, "ann"], item=[1] * 10, time=[AT] * 10)
    yield Case("no user", "a.parquet", table, [("ann", "1")], aside)
    table = parquet(user=[12.0, float("nan"), None], item=[1] * 3, time=[AT] * 3)
    yield Case("no user among numbers", "a.parquet", table, [("12", "1")], [("null_user", "")] * 2)


def lines() -> Iterator[Case]:
    """Lines of text files: how they end, quotes, comments, fields too many or too few, encodings."""
    head, two = "user,item,time", [("ann", "1"), ("bob", "2")]
    ann, bob = f"ann,1,{AT}", f"bob,2,{AT}"
    ends = {
        "LF": f"{head}\n{ann}\n{bob}\n", "CRLF": f"{head}\r\n{ann}\r\n{bob}\r\n", "CR": f"{head}\r{ann}\r{bob}\r",
        "LF, then CRLF": f"{head}\n{ann}\r\n{bob}\n", "CRLF, then LF": f"{head}\r\n{ann}\n{bob}\r\n",
        "no last end": f"{head}\n{ann}\n{bob}",
        "LF and CR": f"{head}\n{ann}\r{bob}\n", "blank lines": f"{head}\n\n{ann}\n\n{bob}\n\n", "BOM": f"\ufeff{head}\n{ann}\n{bob}\n",
        "BOM and CRLF": f"\ufeff{head}\r\n{ann}\r\n{bob}\r\n",
    }  # fmt: skip
    for name, text in ends.items():
        yield Case(f"ends {name}", "a.csv", csv(text), two)
    for encoding in ("utf-16", "utf-16-be", "latin-1", "cp1251", "utf-8"):
        name = "Жан" if encoding == "cp1251" else "José"
        mark = "\ufeff" if encoding == "utf-16-be" else ""
        data = (mark + f"{head}\n{name},1,{AT}\n{bob}\n").encode(encoding)
        options = {} if encoding in ("utf-16", "utf-16-be", "utf-8") else {"encoding": encoding}
        yield Case(f"encoding {encoding}", "a.csv", data, [(name, "1"), ("bob", "2")], options=options)
    torn = f"{head}\n{ann}\nJos\xe9,9,{AT}\n{bob}\n".encode("latin-1")
    yield Case("one line of another encoding", "a.csv", torn, two, [("unreadable_row", "a.csv:3: it is not utf-8")])
    titled = "user,title,item,time"
    quoted = {
        "LF in quotes, CRLF outside": (f'{titled}\r\nann,"a\nb",1,{AT}\r\nbob,c,2,{AT}\r\n', {}),
        "CRLF in quotes, LF outside": (f'{titled}\nann,"a\r\nb",1,{AT}\nbob,c,2,{AT}\n', {}),
        "CR in quotes": (f'{titled}\nann,"a\rb",1,{AT}\nbob,c,2,{AT}\n', {}),
        "both in quotes and outside": (f'{titled}\nann,"a\r\nb",1,{AT}\r\nbob,"c\nd",2,{AT}\n', {}),
        "doubled quotes": (f'{titled}\nann,"say ""a, b""",1,{AT}\nbob,"""",2,{AT}\n', {}),
        "escaped quotes": (f'{titled}\nann,"say \\"a, b\\"",1,{AT}\nbob,c,2,{AT}\n', {"escape": "\\"}),
        "a quote within": (f'{titled}\nann,5" nails,1,{AT}\nbob,c,2,{AT}\n', {}),
        "no quoting": (f'{titled}\nann,"a,1,{AT}\nbob,"c" d,2,{AT}\n', {"quote": ""}),
        "single quotes": (f"{titled}\nann,'a, b',1,{AT}\nbob,c,2,{AT}\n", {"quote": "'", "escape": "'"}),
        "comments": (f"# made by us\n{titled}\nann,a,1,{AT}\n# half-way\nbob,c,2,{AT}\n", {"comment": "#"}),
        "a delimiter at the end": (f"{titled}\nann,a,1,{AT},\nbob,c,2,{AT},\n", {}),
        "no names": (f"ann,a,1,{AT}\nbob,c,2,{AT}\n", {"names": ["user", "title", "item", "time"]}),
        "other names": (
            f"u,t,i,w\nann,a,1,{AT}\nbob,c,2,{AT}\n",
            {"names": ["user", "title", "item", "time"], "header": True},
        ),
    }
    for name, (text, options) in quoted.items():
        yield Case(name, "a.csv", csv(text), two, options=options)
    yield Case(
        "tabs and no quoting",
        "a.tsv",
        csv(f'user\ttitle\titem\ttime\nann\t"a\t1\t{AT}\nbob\tb\t2\t{AT}\n'),
        two,
        options={"quote": ""},
    )
    goes_on, unclosed = "a quoted field goes on after its closing quote", "a quote is opened and never closed"
    broken = {
        "a stray quote at the start": (f'ann," a" b,1,{AT}', "unreadable_row", f"a.csv:3: {goes_on}"),
        "a quote that is never closed": (f'ann,"a,1,{AT}', "unreadable_row", f"a.csv:3: {unclosed}"),
        "an escaped quote": (f'ann,"say \\"a\\"",1,{AT}', "unreadable_row", f"a.csv:3: {goes_on}"),
        "a field too many": (f"ann,a,1,{AT},9", "unreadable_row", "a.csv:3: "),
        "a field too few": ("ann,a,1", "unreadable_row", "a.csv:3: "),
        "a header again": (titled, "unreadable_time", "user"),
    }
    for name, (line, *aside) in broken.items():
        for end in ("\n", "\r\n"):
            text = end.join([titled, f"cat,x,3,{AT}", line, f"dan,y,4,{AT}", f"eve,z,5,{AT}", ""])
            others = [("cat", "3"), ("dan", "4"), ("eve", "5")]
            yield Case(f"{name}, ends {end!r}", "a.csv", csv(text), others, [(aside[0], aside[1])])
    yield Case("a line that is no object", "a.jsonl", jsonl({"user": "ann", "item": 1, "time": AT}, "no json", "[1]", '{"user"'),
               [("ann", "1")], [("unreadable_row", "no json"), ("unreadable_row", "[1]"), ("unreadable_row", '{"user"')])  # fmt: skip
    yield Case(
        "mixed ends",
        "a.jsonl",
        b'{"user":"ann","item":1,"time":"%b"}\r\n{"user":"bob","item":2,"time":"%b"}\n' % (AT.encode(), AT.encode()),
        two,
    )
    nested = jsonl(
        {"user": "ann", "item": 1, "time": AT},
        {"user": "bob", "item": 2, "time": AT},
        *([{"user": "x", "item": 3, "time": AT}] * 1200),
    )
    late = nested + jsonl({"user": ["a", "b"], "item": 4, "time": AT})
    yield Case(
        "a list as an id",
        "a.jsonl",
        late,
        [("ann", "1"), ("bob", "2"), ("x", "3")],
        [("unreadable_row", '["a", "b"]')] + [("duplicate", "")] * 1199,
    )


def labels() -> Iterator[Case]:
    """Labels and numbers."""
    yes, no = (
        ["True", "true", "TRUE", "t", "yes", "Y", "1", "1.0"],
        ["False", "false", "FALSE", "f", "no", "N", "0", "0.0"],
    )
    rows = [(f"u{n}", float(n < len(yes))) for n in range(len(yes) + len(no))]
    text = "user,item,time,label\n" + "".join(f"u{n},{n},{AT},{word}\n" for n, word in enumerate([*yes, *no]))
    clicks = {"columns": CLICKS, "wanted": ("user", "label")}
    yield Case("labels in words", "a.csv", csv(text), rows, **clicks)
    objects = [{"user": f"u{n}", "item": n, "time": AT, "label": word} for n, word in enumerate([*yes, *no])]
    yield Case("labels in words", "a.jsonl", jsonl(*objects), rows, **clicks)
    objects = [
        {"user": f"u{n}", "item": n, "time": AT, "label": value}
        for n, value in enumerate([True, 1, 1.0, False, 0, 0.0])
    ]
    short = [(f"u{n}", float(n < 3)) for n in range(6)]
    yield Case("labels as values", "a.jsonl", jsonl(*objects), short, **clicks)
    base = {"user": [f"u{n}" for n in range(6)], "item": list(range(6)), "time": [AT] * 6}
    for kind, values in {
        "booleans": [True] * 3 + [False] * 3, "int8": pa.array([1, 1, 1, 0, 0, 0], pa.int8()), "floats": [1.0] * 3 + [0.0] * 3,
        "words": ["True", "1", "1.0", "False", "0", "no"],
    }.items():  # fmt: skip
        yield Case(f"labels as {kind}", "a.parquet", parquet(**base, label=values), short, **clicks)
    priced = {**COLUMNS, "numeric": ["price"]}
    text = f"user;item;time;price\nann;1;{AT};2,5\nbob;2;{AT};-1e3\ncat;3;{AT};NaN\ndan;4;{AT};\\N\neve;5;{AT};7\n"
    prices = [("ann", 2.5), ("bob", -1000.0), ("cat", None), ("dan", None), ("eve", 7.0)]
    yield Case(
        "decimal comma", "a.csv", csv(text), prices, options={"decimal": ","}, columns=priced, wanted=("user", "price")
    )
    text = text.replace("2,5", "2.5")
    yield Case("decimal point", "a.csv", csv(text), prices, columns=priced, wanted=("user", "price"))
    bad = f"user,item,time,price\nann,1,{AT},cheap\nbob,2,{AT},inf\ncat,3,{AT},3\n"
    aside = [("unreadable_number", "cheap"), ("unreadable_number", "inf")]
    yield Case("no numbers", "a.csv", csv(bad), [("cat", 3.0)], aside, columns=priced, wanted=("user", "price"))


def times() -> Iterator[Case]:
    """Times: the same instant in every writing."""
    second = int(NOON.timestamp())
    written = [
        "2026-01-01T10:00:00", "2026-01-01 10:00:00", "2026-01-01T10:00:00Z", "2026-01-01T10:00:00.000000000Z", "2026-01-01T11:00:00+01:00",
        "2026-01-01T11:00:00+0100", "2026-01-01T05:00:00-05", "2026-01-01 10:00", "2026/01/01 10:00:00", "01/01/2026 10:00:00 AM",
        "1/1/2026 10:00 AM", "20260101T100000", "20260101T100000Z", "20260101100000", "20260101 10:00:00", "2026.01.01 10:00:00",
        "2026-01-01T10:00:00,000", "2026-01-01 10:00:00 AM", "2026-01-01T10", "01 Jan 2026 10:00:00", "Thu Jan 01 10:00:00 +0000 2026",
        "Thu, 01 Jan 2026 10:00:00 GMT", "01/Jan/2026:10:00:00 +0000", f"{second}", f"{second}.0", f"{second}000", f"{second}000000",
        f"{second}000000000", f"{second / 1e9}e9", f" {second} ",
    ]  # fmt: skip
    rows = [(f"u{n}", NOON) for n in range(len(written))]
    wanted = ("user", "time")
    text = "user,item,time\n" + "".join(f'u{n},{n},"{time}"\n' for n, time in enumerate(written))
    yield Case("times", "a.csv", csv(text), rows, wanted=wanted)
    yield Case(
        "times",
        "a.jsonl",
        jsonl(*({"user": f"u{n}", "item": n, "time": t} for n, t in enumerate(written))),
        rows,
        wanted=wanted,
    )
    numbers = jsonl(
        *(
            {"user": f"u{n}", "item": n, "time": t}
            for n, t in enumerate((second, second * 1000, second * 1e3, float(second)))
        )
    )
    yield Case("times as numbers", "a.jsonl", numbers, rows[:4], wanted=wanted)
    table = parquet(user=[f"u{n}" for n in range(len(written))], item=list(range(len(written))), time=written)
    yield Case("times", "a.parquet", table, rows, wanted=wanted)
    paris = timezone(timedelta(hours=1))
    for kind, values in {
        "ns": pa.array([NOON], pa.timestamp("ns")),
        "us with a zone": pa.array([NOON.astimezone(paris)], pa.timestamp("us", "Europe/Paris")),
        "s": pa.array([NOON], pa.timestamp("s")), "int32": pa.array([second], pa.int32()), "double": pa.array([second * 1000.0]),
    }.items():  # fmt: skip
        yield Case(
            f"times as {kind}", "a.parquet", parquet(user=["u0"], item=[1], time=values), rows[:1], wanted=wanted
        )
    midnight = [("u0", datetime(2026, 1, 1, tzinfo=UTC))]
    dates = {
        "text": ["20260101"],
        "int": [20260101],
        "date": [date(2026, 1, 1)],
        "month": ["Jan 01, 2026"],
        "iso": ["2026-01-01"],
    }
    for kind, values in dates.items():
        yield Case(
            f"dates as {kind}", "a.parquet", parquet(user=["u0"], item=[1], time=values), midnight, wanted=wanted
        )
    days = {**COLUMNS, "time_unit": "days"}
    yield Case("days since 1970", "a.csv", csv("user,item,time\nu0,1,20454\n"), midnight, columns=days, wanted=wanted)
    for form, time in {
        "%d/%m/%Y %H:%M": "01/01/2026 10:00",
        "%d.%m.%Y %Hh%M": "01.01.2026 10h00",
        "%Y-%m-%d %H:%M:%S%z": "2026-01-01 11:00:00+0100",
    }.items():
        own = {**COLUMNS, "time_format": form}
        yield Case(
            f"format {form}", "a.csv", csv(f"user,item,time\nu0,1,{time}\n"), rows[:1], columns=own, wanted=wanted
        )
    odd = ["01/02/2026", "soon", "294247-01-10 04:00:54.775806", "2026-02-30", "10000-01-01", "infinity", "epoch"]
    text = f"user,item,time\nu0,0,{AT}\n" + "".join(f"x,1,{time}\n" for time in odd)
    yield Case("no times", "a.csv", csv(text), rows[:1], [("unreadable_time", time) for time in odd], wanted=wanted)


CASES = [*ids(), *missing(), *lines(), *labels(), *times()]
