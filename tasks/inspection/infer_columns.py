"""Guesses which column of a file plays which role, by usual names."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from nightloop.tasks.inspection.sample import temporary_lake
from nightloop.tasks.plan.errors import DataError
from nightloop.tasks.plan.plan import Columns
from nightloop.tasks.plan.settings import Settings
from nightloop.tasks.sources.files import Files

USUAL: Mapping[str, str] = {
    "user": """user user_id userid uid customer_id customerid customer visitor_id visitorid session_id sessionid
        reviewerid reviewer_id member_id profile_id account_id""",
    "item": """item item_id itemid iid product_id productid product movie_id movieid track_id article_id articleid
        news_id ad_id asin parent_asin isbn book_id video_id videoid business_id song_id""",
    "time": """timestamp time ts datetime date event_time created_at unixreviewtime unix_time event_timestamp
        occurred_at t_dat hour""",
    "label": "label click clicked is_click target converted is_clicked",
}


def guess_columns(path: str, options: Mapping[str, Any] | None = None) -> Columns:
    """The roles of the columns of a csv, Parquet or JSON-lines file, .gz too. `options`: those of the source `files`.

    Raises FileNotFoundError, or DataError that names the columns and how to give the roles by hand.
    """
    names = columns_of_file(path, options or {})
    plain = {"".join(c for c in name.casefold() if c.isalnum() or c == "_"): name for name in reversed(names)}
    roles_found = {role: next((plain[n] for n in usual.split() if n in plain), None) for role, usual in USUAL.items()}
    missing = [role for role in ("user", "item", "time") if roles_found[role] is None]
    if missing:
        usual = "; ".join(f"usual names of the {role} are {', '.join(USUAL[role].split()[:6])}" for role in missing)
        roles = ",".join(f"{role}={roles_found[role] or '...'}" for role in ("user", "item", "time"))
        raise DataError(
            f"{path}: no column is plainly the {' or the '.join(missing)}; its columns are "
            f"{', '.join(map(repr, names[:40]))}. Say which is which, --columns {roles} (label=... for clicks), or in "
            f"a plan's `columns`; {usual}"
        )
    user, item, time = (str(roles_found[role]) for role in ("user", "item", "time"))
    return Columns(user=user, item=item, time=time, label=roles_found["label"], key=())


def columns_of_file(path: str, options: Mapping[str, Any]) -> list[str]:
    """The names of a file's columns. `options`: those of the source `files`. Raises as `guess_columns`."""
    source = Files(path=path, **options)
    with temporary_lake(Settings(), "names") as warehouse:
        return source.names_in(warehouse, source.files(warehouse)[0])
