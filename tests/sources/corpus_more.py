"""More of the corpus: cases that a search of public issue trackers found after the first ones."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime

import pyarrow as pa

from tests.sources.corpus import AT, CLICKS, COLUMNS, NOON, Case, csv, jsonl, parquet


def more() -> Iterator[Case]:
    """Comments, names, numbers, zones and dates."""
    head, two = "user,item,time", [("ann", "1"), ("bob", "2")]
    ann, bob = f"ann,1,{AT}", f"bob,2,{AT}"
    sharp = {"comment": "#"}
    for name, text in {
        "comment LF, rows CRLF": f"# made by us\n{head}\r\n{ann}\r\n{bob}\r\n",
        "comment LF between rows CRLF": f"{head}\r\n# c\n{ann}\r\n# d\n{bob}\r\n",
        "comment CRLF, rows LF": f"# made by us\r\n{head}\n{ann}\n{bob}\n",
    }.items():
        yield Case(name, "a.csv", csv(text), two, options=sharp)
    inside = csv(f"user,time,item\nann,{AT},C#\nbob,{AT},sku#12\ncat,{AT},http://x/#a\n")
    yield Case(
        "a comment sign in a value",
        "a.csv",
        inside,
        [("ann", "C#"), ("bob", "sku#12"), ("cat", "http://x/#a")],
        options=sharp,
    )
    for names in ("user,x,item,x,time", "user,,item,,time", "user,Note,item,note,time", "user,x,item, ,time"):
        yield Case(f"names {names}", "a.csv", csv(f"{names}\nann,a,1,b,{AT}\nbob,a,2,b,{AT}\n"), two)
    large = parquet(user=[9007199254740991.0, -9007199254740991.0], item=[1, 2], time=[AT, AT])
    yield Case("large whole floats", "a.parquet", large, [("9007199254740991", "1"), ("-9007199254740991", "2")])
    priced, wanted = {**COLUMNS, "numeric": ["price"]}, ("user", "price")
    text = csv(
        "user;item;time;price\n"
        + "".join(f"u{n};1{n};{AT};{price}\n" for n, price in enumerate(["1,5", "1.234", "1.234,50", "7"]))
    )
    points = [("unreadable_number", "1.234 (has"), ("unreadable_number", "1.234,50 (has")]
    yield Case(
        "points between thousands", "a.csv", text, [("u0", 1.5), ("u3", 7.0)], points, {"decimal": ","}, priced, wanted
    )
    absent = csv(
        "user,item,time,price\n"
        + "".join(
            f"u{n},1{n},{AT},{price}\n" for n, price in enumerate(["NA", "n/a", "#N/A", "-", "(null)", "-1", "2"])
        )
    )
    none = [(f"u{n}", None) for n in range(5)]
    yield Case("no number in words", "a.csv", absent, [*none, ("u5", -1.0), ("u6", 2.0)], columns=priced, wanted=wanted)
    good = ["202601011000", "2026-01-01T10:00Z", "2026-01-01T11:00+01:00", "2026-01-01 10:00:00 +0000 UTC", "Thu Jan 01 10:00:00 UTC 2026",
            "2026-01-01 10:00:00 GMT", "2026-01-01 11:00:00 Europe/Paris", "2026-01-01T10:00:00z"]  # fmt: skip
    vague = [
        "Thu Jan 01 10:00:00 BST 2026",
        "2026-01-01 10:00:00 CST",
        "2026-01-01 10:00:00 IST",
        "Thu, 01 Jan 2026 10:00:00 PST",
    ]
    text = csv("user,item,time\n" + "".join(f'u{n},{n},"{time}"\n' for n, time in enumerate([*good, *vague])))
    yield Case(
        "zones",
        "a.csv",
        text,
        [(f"u{n}", NOON) for n in range(len(good))],
        [("unreadable_time", time) for time in vague],
        wanted=("user", "time"),
    )
    rows = jsonl(*({"user": f"u{n}", "item": n, "time": time} for n, time in enumerate(good)))
    yield Case("zones", "a.jsonl", rows, [(f"u{n}", NOON) for n in range(len(good))], wanted=("user", "time"))
    dates = parquet(user=["u0"], item=[1], time=pa.array([datetime(2026, 1, 1)], pa.date32()))
    yield Case("a date", "a.parquet", dates, [("u0", datetime(2026, 1, 1, tzinfo=UTC))], wanted=("user", "time"))


def odd() -> Iterator[Case]:
    """What spreadsheets, joined files and typed columns leave."""
    head, two = "user,item,time", [("ann", "1"), ("bob", "2")]
    ann, bob, wanted = f"ann,1,{AT}", f"bob,2,{AT}", ("user", "time")
    spread = "\n".join((head, ann, bob, "")).replace(",", ";")
    for name, first in {
        "sep=;": "sep=;\n",
        "sep=; in quotes, CRLF": '"sep=;"\r\n',
        "BOM and sep=;": "\ufeffsep=;\n",
    }.items():
        yield Case(name, "a.csv", csv(first + spread), two)
    unnamed = csv(f"sep=;\n{ann}\n{bob}\n".replace(",", ";"))
    yield Case("sep=; and no names", "a.csv", unnamed, two, options={"names": ["user", "item", "time"]})
    yield Case("names with blanks around them", "a.csv", csv(f"user\u00a0, item,\u200btime\n{ann}\n{bob}\n"), two)
    joined = csv(f"\ufeff{ann}\n\ufeff{bob}\n")
    yield Case("files with a mark, joined", "a.csv", joined, two, options={"names": ["user", "item", "time"]})
    unseen = [f"{sign}ann" for sign in "\ufeff\u200b\u00a0\u3000"]
    yield Case("signs without width", "a.jsonl", jsonl(*({"user": u, "item": n, "time": AT} for n, u in enumerate(unseen))),
               [("ann", str(n)) for n in range(4)])  # fmt: skip
    rows = [("ann", NOON)]
    for kind, time in {"timestamp": pa.timestamp("us"), "timestamp with a zone": pa.timestamp("us", "UTC")}.items():
        table = parquet(user=["ann"], item=[1], time=pa.array([NOON], time))
        yield Case(
            f"a {kind} and a format",
            "a.parquet",
            table,
            rows,
            columns={**COLUMNS, "time_format": "%Y-%m-%d"},
            wanted=wanted,
        )
    hours = {**COLUMNS, "time_format": "%Y%m%d%H"}
    yield Case(
        "digits and a format", "a.csv", csv("user,item,time\nann,1,2026010110\n"), rows, columns=hours, wanted=wanted
    )
    numbers = parquet(user=["ann"], item=[1], time=[2026010110.0])
    yield Case("digits as a float and a format", "a.parquet", numbers, rows, columns=hours, wanted=wanted)


def typed() -> Iterator[Case]:
    """Columns of Parquet with the logical type JSON: DuckDB gives a text with its quotes, so that `"u1"` would be an id."""
    written = [
        '"u1"',
        "12",
        '"12.0"',
        "12.0",
        "1e3",
        '"1e3"',
        '"a\\"b"',
        '"\\u00e9"',
        "1234567890.1700000001",
        "123456789012345678901",
    ]
    plain = ["u1", "12", "12", "12", "1000", "1e3", 'a"b', "\xe9", "1234567890.1700000001", "123456789012345678901"]
    size = len(written)
    table = parquet(user=_json(*written), item=[*range(size)], time=[AT] * size)
    yield Case("ids of the type JSON", "a.parquet", table, [(id_, str(n)) for n, id_ in enumerate(plain)])
    table = parquet(user=_json("null", '"null"', None, '""', '"ann"'), item=[1] * 5, time=[AT] * 5)
    yield Case("no user of the type JSON", "a.parquet", table, [("ann", "1")], [("null_user", "")] * 4)
    times = _json(f'"{AT}"', f"{NOON.timestamp():.0f}", f"{NOON.timestamp() * 1000}")
    table = parquet(
        user=_json('"u0"', '"u1"', '"u2"'), item=_json("1", "2", "3"), time=times, label=_json("true", "1.0", '"yes"')
    )
    yield Case("all of the type JSON", "a.parquet", table, [(f"u{n}", NOON, 1.0) for n in range(3)], columns=CLICKS,
               wanted=("user", "time", "label"))  # fmt: skip
    tagged = {**COLUMNS, "categorical": ["tags"], "multi_value": {"tags": 3}}
    table = parquet(user=["u0", "u1"], item=[1, 2], time=[AT] * 2, tags=_json('["a", "b"]', '"c"'))
    yield Case(
        "lists of the type JSON",
        "a.parquet",
        table,
        [("u0", "a|b"), ("u1", "c")],
        columns=tagged,
        wanted=("user", "tags"),
    )


def _json(*texts: str | None) -> pa.ExtensionArray:
    return pa.ExtensionArray.from_storage(pa.json_(), pa.array(texts))


MORE = [*more(), *odd(), *typed()]
