"""Statistics of one period: what its checks use now, and what later nights compute their ranges from.

Names: rows, clean, label_rate, new_user_rate, new_item_rate, quarantine_share, duplicate_share, outside_share,
out_of_order_share, repeated_share; reason/<code> (rows); category/<column>/<bucket> (share of clean rows; values fall into BUCKETS by
their MD5, so that a column of a million values stays small and comparable for ever); number/<column>/<quantile>.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from nightloop.tasks.data.vocabulary import Vocabulary, encode
from nightloop.tasks.lake.warehouse import Warehouse
from nightloop.tasks.plan.plan import Columns

COMPARED = 100_000  # known ids that a new one is compared with
SAMPLE = 200_000  # rows that quantiles and repeated items are taken over: every n-th one, or of every n-th user
REMEMBERED = 7  # earlier periods in which an item may have been taken before


def count_rows(warehouse: Warehouse, period: int, version: int) -> dict[str, Any]:
    """How many rows of one version of a period arrived, are clean, and were put aside, also by reason (`reasons`)."""
    version_key = {"period": period, "version": version}
    reasons = warehouse.query("validate/reason_counts", version_key).to_pylist()
    (counts,) = warehouse.query("validate/period_counts", version_key).to_pylist()
    return {**counts, "reasons": {row["reason"]: float(row["rows"]) for row in reasons}}


def measure(
    warehouse: Warehouse, columns: Columns, counts: Mapping[str, Any], vocabulary: Vocabulary | None
) -> dict[str, float]:
    """The statistics of the `clean_rows` and their `counts`; what cannot be computed (a rate of no rows) is left out."""
    reasons, rows, clean = counts["reasons"], float(counts["rows"]), float(counts["clean"])
    statistics = {"rows": rows, "clean": clean, **{f"reason/{code}": count for code, count in sorted(reasons.items())}}
    if rows:
        statistics |= _shares(counts, reasons, rows)
    if clean:
        statistics |= _columns(warehouse, columns, clean)
        if columns.label is not None:
            statistics["label_rate"] = math.nan if counts["label_rate"] is None else counts["label_rate"]
        if vocabulary is not None:
            statistics |= _new_id_rates(warehouse, vocabulary)
    return {name: value for name, value in statistics.items() if math.isfinite(value)}


def repeated_share(warehouse: Warehouse, clean: int, versions: Mapping[int, int]) -> float:
    """The share of the `clean_rows` whose item their user took in an earlier row, of these or of the last earlier `versions`, by period."""
    last = sorted(versions.items())[-REMEMBERED:]
    asked = {
        "stride": max(1, math.ceil(clean / SAMPLE)), "periods": [index for index, _ in last], "versions": [number for _, number in last],
    }  # fmt: skip
    return float(warehouse.query("validate/repeated_items", asked).column("share")[0].as_py() or 0.0)


def _shares(counts: Mapping[str, Any], reasons: Mapping[str, float], rows: float) -> dict[str, float]:
    return {
        "quarantine_share": counts["quarantined"] / rows,
        "duplicate_share": reasons.get("duplicate", 0.0) / rows,
        "outside_share": (reasons.get("outside_period", 0.0) + reasons.get("time/outside", 0.0)) / rows,
        "out_of_order_share": counts["out_of_order"] / rows,
    }


def _columns(warehouse: Warehouse, columns: Columns, clean: float) -> dict[str, float]:
    """Shares of every categorical column's buckets, quantiles of every numeric one."""
    statistics: dict[str, float] = {}
    if columns.categorical:
        shares = warehouse.query("validate/category_shares", {"columns": list(columns.categorical)})
        statistics |= {f"category/{row['field']}/{row['bucket']}": row["share"] for row in shares.to_pylist()}
    if columns.numeric:
        asked = {"columns": list(columns.numeric), "stride": max(1, math.ceil(clean / SAMPLE))}
        quantiles = warehouse.query("validate/number_quantiles", asked)
        statistics |= {f"number/{row['field']}/{row['quantile']:02d}": row["value"] for row in quantiles.to_pylist()}
    return statistics


def describe_rewritten_id(warehouse: Warehouse, vocabulary: Vocabulary, role: str) -> str:
    """A new id of the period beside a known one that may be the same in another writing, in words."""
    known_ids = vocabulary.ids[role].slice(0, COMPARED).to_pylist()
    plain = {form: id_ for id_ in reversed(known_ids) if id_ for form in _forms(id_)}
    ids = warehouse.query("validate/id_counts", {"roles": [role]}).column("id").combine_chunks()
    new = sorted(ids.filter(pa.array(encode(vocabulary, role, ids) < 0)).to_pylist())
    for id_ in new:
        if same := next((plain[form] for form in _forms(id_) if form in plain), ""):
            return f"{id_[:60]!r} is new; {same[:60]!r} is known"
    return f"{next(iter(new), '')[:60]!r} is new; known are such as {str(next(iter(known_ids), ''))[:60]!r}"


def _forms(id_: str) -> list[str]:
    """What is left of an id without capitals, and without all but its digits and leading zeros."""
    digits = "".join(letter for letter in id_ if letter.isdigit()).lstrip("0")
    return [id_.casefold(), *([digits] if digits else [])]


def _new_id_rates(warehouse: Warehouse, vocabulary: Vocabulary) -> dict[str, float]:
    """Shares of clean rows whose user, and whose item, the vocabulary does not have."""
    new, total = dict.fromkeys(("user", "item"), 0), dict.fromkeys(("user", "item"), 0)
    for batch in warehouse.stream("validate/id_counts", {"roles": ["user", "item"]}):
        for role in new:
            part = batch.filter(pc.equal(batch.column("role"), role))
            rows = part.column("rows").to_numpy()
            new[role] += int(rows[encode(vocabulary, role, part.column("id")) < 0].sum())
            total[role] += int(rows.sum())
    return {f"new_{role}_rate": new[role] / total[role] if total[role] else math.nan for role in new}
