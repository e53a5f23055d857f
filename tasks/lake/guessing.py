"""Guessing: which column of somebody's file plays which role, by the names that people usually give."""

from __future__ import annotations

import csv
import gzip
import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from tasks.lake.delimited import DELIMITERS
from tasks.plan.plan import Columns

USUAL: Mapping[str, str] = {
    "user": """user user_id userid uid customer_id customerid customer visitor_id visitorid session_id sessionid
        reviewerid reviewer_id member_id profile_id account_id""",
    "item": """item item_id itemid iid product_id productid product movie_id movieid track_id article_id articleid
        news_id ad_id asin parent_asin isbn book_id video_id videoid business_id song_id""",
    "time": """timestamp time ts datetime date event_time created_at unixreviewtime unix_time event_timestamp
        occurred_at t_dat hour""",
    "label": "label click clicked is_click target converted is_clicked",
}


def guess_columns(path: str, names: Sequence[str] = ()) -> Columns:
    """The roles of a local csv, Parquet or JSON-lines file's columns, .gz too. `names`: of its columns, where it has none.

    Raises FileNotFoundError, or ValueError that names the columns there are and how to give the roles by hand.
    """
    names = list(names) or column_names(path)
    plain = {"".join(c for c in name.casefold() if c.isalnum() or c == "_"): name for name in reversed(names)}
    found = {role: next((plain[n] for n in usual.split() if n in plain), None) for role, usual in USUAL.items()}
    missing = [role for role in ("user", "item", "time") if found[role] is None]
    if missing:
        usual = "; ".join(f"usual names of the {role} are {', '.join(USUAL[role].split()[:6])}" for role in missing)
        roles = ",".join(f"{role}={found[role] or '...'}" for role in ("user", "item", "time"))
        raise ValueError(
            f"{path}: no column is plainly the {' or the '.join(missing)}; its columns are "
            f"{', '.join(map(repr, names[:40]))}. Say which is which, --columns {roles} (label=... for clicks), or in "
            f"a plan's `columns`; {usual}"
        )
    user, item, time = (str(found[role]) for role in ("user", "item", "time"))
    return Columns(user=user, item=item, time=time, label=found["label"], key=())


def column_names(path: str) -> list[str]:
    """The names of a local file's columns. Raises ValueError where the file has none."""
    file = Path(path)
    if not file.is_file():
        raise FileNotFoundError(f"no file {path[:200]!r}")
    if file.suffix in (".parquet", ".pq"):
        try:
            return list(pq.read_schema(file).names)
        except (pa.ArrowException, OSError) as error:
            raise ValueError(f"{path} is no whole Parquet file ({error})") from error
    line = _first_line(file)
    if any(suffix in (".jsonl", ".ndjson", ".json") for suffix in file.suffixes):
        return _keys(path, line)
    delimiter = max(DELIMITERS, key=line.count)
    return line.split(delimiter) if len(delimiter) > 1 else next(csv.reader([line], delimiter=delimiter))


def _first_line(file: Path) -> str:
    try:
        with gzip.open(file, "rb") if file.suffix == ".gz" else file.open("rb") as stream:
            line = stream.readline(1 << 20).decode("utf-8-sig").strip()
    except (OSError, EOFError, UnicodeDecodeError) as error:
        raise ValueError(f"{file} is no text, or not utf-8, or cut off ({error})") from error
    if not line:
        raise ValueError(f"{file} is empty")
    return line


def _keys(path: str, line: str) -> list[str]:
    try:
        first = json.loads(line)
    except json.JSONDecodeError as error:
        raise ValueError(f"{path}: the first line is no JSON object ({error}); one object a line is wanted") from error
    if not isinstance(first, dict):
        raise ValueError(f"{path}: the first line is no JSON object; one object a line is wanted")
    return list(first)
