"""File columns: which columns a file must have, may lack, and may not have, in every format."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from nightloop.tasks.formats.path_columns import in_path
from nightloop.tasks.lake.values import BLANKS
from nightloop.tasks.plan.errors import DataError
from nightloop.tasks.plan.plan import Columns

MayLack = Callable[[str], bool]  # whether a file may lack a column, which is null there


def no_column(name: str) -> bool:
    """No column may be missing."""
    return False


# Columns in which change data capture marks rows that were deleted: Debezium, Fivetran, Stitch and Singer, Airbyte, PeerDB, Hudi, Delta
# Lake's change feed, Snowflake's streams and BigQuery.
DELETED = ("__deleted", "__op", "_fivetran_deleted", "_sdc_deleted_at", "_ab_cdc_deleted_at", "_peerdb_is_deleted",
           "_hoodie_is_deleted", "_change_type", "metadata$action")  # fmt: skip


def check_columns(file: str, names: Sequence[str], wanted: Sequence[str], may_lack: MayLack = no_column) -> None:
    """Raise DataError if a file lacks a column or has it twice, and say which it has."""
    marks = [name for name in names if name.lower() in DELETED and name not in wanted]
    if marks:
        raise DataError(
            f"{file} has the column {marks[0]!r}, in which change data capture marks rows that were deleted or replaced. They would be "
            "read as events: write the rows that are valid, without that column"
        )
    shown, constant = ", ".join(repr(name[:60]) for name in names[:40]) or "none", in_path(file)
    for name in wanted:
        if name not in names and file.count(f"/{name}=") > 1:
            raise DataError(f"{file}: two folders say what {name[:60]!r} is: rename one of them")
        if name not in names and (name in constant or (may_lack(name) and not similar_name(name, [*names, *constant]))):
            continue
        if names.count(name) != 1 if isinstance(names, list) else name not in names:
            how = "two columns" if name in names else "no column"
            other = similar_name(name, [*names, *constant]) if name not in names else ""
            if other and may_lack(name):
                raise DataError(
                    f"{file} calls the column {name[:60]!r} of the newest file {other[:60]!r}: give it one name in all files, or "
                    "leave it out of the plan's `columns`"
                )
            raise DataError(
                f"{file} has {how} {name[:60]!r}; its columns are {shown}. Name the right ones in the plan's "
                "`columns`. If these are no names, the source's options `names`, `delimiter` and `encoding` say how the "
                "file is written"
            )


def similar_name(name: str, names: Iterable[str]) -> str:
    """One of the names that differs from a name in upper and lower case or blanks alone; empty if there is none."""
    alike = (other for other in names if other.strip(BLANKS).casefold() == name.casefold())
    return next((other for other in alike if other != name), "")


def check_time(file: str, names: Iterable[str], columns: Columns) -> None:
    """Raise DataError if the time stands in the path alone: every row needs one of its own."""
    if columns.time not in names:
        raise DataError(
            f"{file}: the time {columns.time[:60]!r} stands in the path alone, so that all rows would have the same. Name a column "
            "of the file; the path can say the period, as {period}"
        )


def id_columns(columns: Columns) -> list[str]:
    """The plan's columns whose values are ids, once each: their text tells things apart, whatever its type is."""
    measured = (columns.time, columns.label, columns.logged_probability, *columns.numeric)
    others = (name for name in (*columns.categorical, *columns.key) if name not in measured)
    return list(dict.fromkeys((columns.user, columns.item, *others)))
