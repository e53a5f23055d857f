"""File columns: which columns a file must have, may lack, and may not have, in every format."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence

import pyarrow as pa
import pyarrow.compute as pc

from nightloop.tasks.formats.path_columns import in_path
from nightloop.tasks.lake.incoming import flat_column
from nightloop.tasks.lake.values import BLANKS, as_text
from nightloop.tasks.plan.errors import DataError
from nightloop.tasks.plan.plan import Columns

MayLack = Callable[[str], bool]  # whether a file may lack a column, which is null there


def no_column(name: str) -> bool:
    """No column may be missing."""
    return False


# Columns in which rows are marked as deleted or replaced, in lower case, and the values that say so. Those of change data capture:
# Debezium, AWS DMS (Op: I, U, D), Fivetran, Stitch and Singer, Airbyte, PeerDB, PlanetScale, Qlik, Google's Datastream, Hevo, Hudi, Delta
# Lake's change feed, Snowflake's streams and BigQuery. Those of tables that keep the earlier versions of a row: snapshots of dbt, the
# history mode of Fivetran, and type 2 of Databricks and dlt. And those of programs that only mark what is deleted.
CHANGED = ("d", "delete", "deleted", "u", "update", "updated", "upsert", "update_preimage", "update_postimage", "update-insert",
           "update-delete")  # fmt: skip
TRUE = ("true", "t", "1", "1.0", "yes", "y")
FALSE = ("false", "f", "0", "0.0", "no", "n")
OPERATIONS = ("op", "_op", "__op", "op_type", "optype", "operation", "_operation", "operation_type", "operationtype", "cdc_operation",
              "_planetscale_operation", "change_type", "_change_type", "_metadata_change_type", "header__change_oper",
              "metadata$action")  # fmt: skip
FLAGS = ("__deleted", "_deleted", "deleted", "is_deleted", "isdeleted", "_is_deleted", "_fivetran_deleted", "_peerdb_is_deleted",
         "_hoodie_is_deleted", "dbt_is_deleted", "_metadata_deleted", "__hevo__marked_deleted", "is_row_deleted")  # fmt: skip
MOMENTS = ("deleted_at", "deletedat", "_deleted_at", "_sdc_deleted_at", "_ab_cdc_deleted_at", "row_deleted_time", "dbt_valid_to",
           "_dlt_valid_to", "__end_at")  # fmt: skip
MARKS: dict[str, tuple[str, ...]] = {  # (): every value says so
    **dict.fromkeys(OPERATIONS, CHANGED), **dict.fromkeys(FLAGS, TRUE), "_fivetran_active": FALSE, **dict.fromkeys(MOMENTS, ()),
}  # fmt: skip


# Without capitals and signs: columns that say what an event was, those with how many items were bought, and events that undo another one
# or say that a user does not want the item.
EVENTS = ("event", "eventtype", "eventname", "action", "actiontype", "actionname", "activity", "activitytype", "behavior", "behaviour",
          "behaviortype", "interaction", "interactiontype", "type", "status", "orderstatus", "financialstatus")  # fmt: skip
QUANTITIES = ("quantity", "qty", "itemquantity", "orderquantity", "orderqty", "lineitemquantity", "units")
UNDONE = ("removefromcart", "removefrombasket", "removefromwishlist", "removefromfavorites", "deletefromcart", "deletefrombasket",
          "cartremove", "productremoved", "productremovedfromwishlist", "unlike", "unfavorite", "unfavourite", "unfollow", "unsave",
          "unbookmark", "unsubscribe", "dislike", "downvote", "thumbsdown", "notinterested", "uninstall", "returned", "refund", "refunded",
          "orderrefunded", "wcrefunded", "cancel", "canceled", "cancelled", "ordercancelled", "wccancelled", "voided",
          "chargeback")  # fmt: skip
BELOW_ZERO = "^-[0-9.,]*[1-9]"


def deletion_marks(names: Iterable[str], wanted: Sequence[str], columns: Columns) -> list[str]:
    """The columns that may mark rows as deleted, or as undone if no label says so, and that the plan does not name. Of two that differ in
    case alone: the first."""
    also = () if columns.label else (*EVENTS, *QUANTITIES)
    marks = {
        name.lower(): name
        for name in reversed([*names])
        if (name.lower() in MARKS or _plain(name) in also) and name not in wanted
    }
    return [name for name in marks.values() if not similar_name(name, wanted)]


def without_marks(batches: Iterable[pa.RecordBatch], marks: Sequence[str], place: str) -> Iterator[pa.RecordBatch]:
    """The batches without the columns `marks`. Raises DataError if a row is marked as deleted, replaced or undone in one of them."""
    for batch in batches:
        for name in marks:
            if pa.types.is_nested(batch.column(name).type):
                continue
            values = pc.unique(as_text(flat_column(batch, name)))
            deleted = name.lower() in MARKS
            if found := values.filter(_is_marked(values, MARKS[name.lower()]) if deleted else _is_undone(values, name)):
                such = repr(found[0].as_py()[:60])
                what = (
                    f"marks rows as deleted or changed, such as with {such}, and they would be read as events. Write the rows that are "
                    "valid, each with its newest values. If the column means something else, rename it"
                )
                if not deleted:
                    what = (
                        f"holds {such}, and the plan has no label: such a row would say that a user took an item. Leave these rows out, or "
                        "name a label that is 0 for them. If they are meant so, name the column as categorical in the plan's `columns`"
                    )
                raise DataError(f"{place}: the column {name[:60]!r} {what}")
        yield batch.drop_columns([*marks]) if marks else batch


def _plain(text: str) -> str:
    """A text without capitals and signs."""
    return "".join(filter(str.isalnum, text)).casefold()


def _is_undone(values: pa.Array, name: str) -> pa.Array:
    """Which values of a column undo another event, or are numbers below 0 of items."""
    if _plain(name) in QUANTITIES:
        return pc.match_substring_regex(values, BELOW_ZERO)
    return pc.is_in(pc.replace_substring_regex(pc.utf8_lower(values), "[^a-z0-9]+", ""), pa.array(UNDONE))


def _is_marked(values: pa.Array, words: Sequence[str]) -> pa.Array:
    """Which values say that a row is not valid: one of the words, or, without words, any time that is not of the year 0 or 9999."""
    if words:
        return pc.is_in(pc.utf8_lower(values), pa.array(words))
    unset = pc.match_substring_regex(pc.fill_null(values, ""), "^(?:0|false|False|(?:0000|9999).*)?$")
    return pc.and_(pc.is_valid(values), pc.invert(unset))


def check_columns(file: str, names: Sequence[str], wanted: Sequence[str], may_lack: MayLack = no_column) -> None:
    """Raise DataError if a file lacks a column or has it twice, and say which it has."""
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
