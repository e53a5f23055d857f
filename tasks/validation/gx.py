"""Validation with Great Expectations, which only this file uses. Row rules fill the quarantine, period checks give the verdict.

Rows are streamed, a batch at a time, so memory does not grow with the period. Metadata of Great Expectations
(run ids, times) is not kept: the same rows, rules and history give the same bytes.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from importlib import import_module
from threading import Thread
from typing import TYPE_CHECKING, Any, Literal, cast

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from nightloop.tasks.data.vocabulary import Vocabulary
from nightloop.tasks.formats.select_files import TIMES
from nightloop.tasks.lake.periods import Period
from nightloop.tasks.lake.warehouse import Warehouse
from nightloop.tasks.plan.errors import PlanError
from nightloop.tasks.plan.plan import Plan
from nightloop.tasks.validation.bunched_times import bunched_time_checks
from nightloop.tasks.validation.category_writings import category_writing_checks
from nightloop.tasks.validation.changed_repeats import changed_repeat_checks
from nightloop.tasks.validation.clean_copy import clean_rows
from nightloop.tasks.validation.column_relations import relation_checks
from nightloop.tasks.validation.deciding_values import comparable, deciding_values
from nightloop.tasks.validation.doubtful_values import doubtful_value_checks
from nightloop.tasks.validation.drift import History
from nightloop.tasks.validation.export_limits import export_limit_checks
from nightloop.tasks.validation.id_kinds import count_id_kinds, kind_shares, new_kind_checks, odd_id_checks
from nightloop.tasks.validation.id_shapes import cut_text_checks, id_shape_checks, numbered_id_checks
from nightloop.tasks.validation.id_writings import id_writing_checks
from nightloop.tasks.validation.lost_zeros import lost_zero_checks
from nightloop.tasks.validation.period_checks import Check, period_checks
from nightloop.tasks.validation.result import BrokenRule, Validation, judge
from nightloop.tasks.validation.rounded_ids import rounded_id_checks
from nightloop.tasks.validation.row_rules import RowRule, row_rules
from nightloop.tasks.validation.statistics import count_rows, describe_rewritten_id, measure, repeated_share
from nightloop.tasks.validation.unicode_forms import two_form_checks

if TYPE_CHECKING:
    import pandas as pd

Arrivals = NDArray[np.int64]  # positions of rows in their delivery
Form = Literal["BOOLEAN_ONLY", "BASIC", "COMPLETE"]  # how much Great Expectations says

BATCH = 500_000  # rows put to Great Expectations at a time
EXAMPLES = 3  # offending values shown for each rule
UNUSABLE = {
    "duplicate": "one row a key", "outside": "a time inside the period", "null": "no value missing",
    "unreadable_time": f"a time. {TIMES}", "unreadable_number": "a finite number, or a word for 1 or 0: true, false, yes, no",
    "unreadable_row": "a line with a field for each column; what is wrong stands before its text",
}  # fmt: skip


@dataclass(frozen=True)
class EarlierNights:
    """What validation may know of earlier nights: statistics of those that passed, and the ids seen by then."""

    history: History = ()  # oldest first
    vocabulary: Vocabulary | None = None
    versions: Mapping[int, int] = field(default_factory=dict)  # of the periods that they read, by index


def import_in_background() -> None:
    """Begin to import Great Expectations, which takes two seconds, while the database reads a delivery.

    The end of a process waits for it: one that ends in the middle of an import is aborted by Python.
    """
    Thread(target=import_module, args=("great_expectations",)).start()


def validate_period(
    warehouse: Warehouse, plan: Plan, period: Period, version: int, nights: EarlierNights, accepted: str | None = None
) -> Validation:
    """Judge one version of a period, put broken rows aside, and say why.

    Doing it again changes nothing: what landing put aside is left alone, everything else is judged again. (Changed rules
    make a new version of the period when it is collected.) `accepted` is an operator's reason to let a stopped period
    pass: the verdict is then `overridden`. Raises PlanError for an empty reason and for rules that name a column the
    plan does not have.
    """
    if accepted is not None and not accepted.strip():
        raise PlanError("a blocked period is accepted only with a reason; the reason given is empty")
    rules = row_rules(plan, period)
    broken = _list_unusable(warehouse, period.index, version) + _quarantine_rows(
        warehouse, rules, period.index, version
    )
    counts, known = count_rows(warehouse, period.index, version), nights.vocabulary
    with clean_rows(warehouse, period.index, version, counts["clean"] * len(plan.columns.names)):
        statistics = measure(warehouse, plan.columns, counts, known)
        if counts["clean"] and plan.family == "ranking" and not plan.ranking.repeats:
            statistics["repeated_share"] = repeated_share(warehouse, counts["clean"], nights.versions)
        kinds = count_id_kinds(warehouse)
        statistics |= kind_shares(kinds)
        checks = period_checks(plan.expectations, plan.columns, statistics, nights.history)
        checks += new_kind_checks(kinds, plan, nights.history)
        checks += two_form_checks(warehouse, known)
        checks += rounded_id_checks(warehouse)
        checks += lost_zero_checks(warehouse, known)
        checks += id_writing_checks(warehouse, known)
        checks += id_shape_checks(warehouse)
        checks += numbered_id_checks(warehouse, known)
        checks += cut_text_checks(warehouse, plan.columns)
        checks += category_writing_checks(warehouse, plan.columns)
        checks += bunched_time_checks(warehouse)
        checks += export_limit_checks(plan, period, counts["rows"])
        checks += doubtful_value_checks(warehouse, plan.columns, period)
        checks += changed_repeat_checks(
            warehouse, plan.columns, {"period": period.index, "version": version}, counts["reasons"]
        )
        checks += relation_checks(warehouse, plan, counts, nights.versions)
        checks += odd_id_checks(kinds, plan, checks)
        results = _judge_period(checks)
        checks = [_with_ids(warehouse, known, check, results) for check in checks]
    return judge(plan, broken, checks, results, statistics, accepted)


def _with_ids(
    warehouse: Warehouse, known: Vocabulary | None, check: Check, results: Mapping[str, Mapping[str, Any]]
) -> Check:
    """The check; if it is about ids and failed, with an id of this period and one that was known before."""
    if not check.role or known is None or results.get(check.name, {}).get("success", True):
        return check
    return replace(check, note=describe_rewritten_id(warehouse, known, check.role))


def _quarantine_rows(warehouse: Warehouse, rules: Sequence[RowRule], period: int, version: int) -> list[BrokenRule]:
    """Apply the row rules to every row; what breaks one goes to quarantine under the rule's code."""
    version_key = {"period": period, "version": version}
    arrivals_by_rule: dict[str, list[Arrivals]] = {rule.code: [] for rule in rules}
    suspect = _find_suspect_rules(rules, _batches(warehouse, version_key)) if rules else []
    for batch in _batches(warehouse, version_key) if suspect else ():
        for code, arrivals in _find_broken(suspect, batch).items():
            arrivals_by_rule[code].append(arrivals)
    aside = {code: np.sort(np.concatenate(parts)) for code, parts in arrivals_by_rule.items() if parts}
    codes = np.repeat(np.array([*aside, ""], dtype=object), [*(len(rows) for rows in aside.values()), 0])
    arrivals = np.concatenate([np.empty(0, np.int64), *aside.values()])
    rows = pa.table({"arrival": pa.array(arrivals, pa.int64()), "reason": pa.array(codes, pa.string())})
    warehouse.quarantine(period, version, rows)
    return [
        BrokenRule(
            rule.code, rule.words, len(aside[rule.code]), _examples(warehouse, rule, version_key, aside[rule.code])
        )
        for rule in rules
        if rule.code in aside
    ]


def _list_unusable(warehouse: Warehouse, period: int, version: int) -> list[BrokenRule]:
    """What landing put aside already: rows with unreadable values, and repeats."""
    rows = warehouse.query("validate/unusable_rows", {"period": period, "version": version}).to_pylist()
    return [
        BrokenRule(row["reason"], UNUSABLE.get(row["reason"]) or UNUSABLE[row["reason"].split("_")[0]], row["rows"],
               tuple((example["arrival"], example["value"]) for example in row["examples"]))
        for row in rows
    ]  # fmt: skip


def _batches(warehouse: Warehouse, version_key: Mapping[str, object]) -> Iterator[pa.Table]:
    """Rows in tables of about BATCH: one call of Great Expectations costs a tenth of a second, however few the rows."""
    waiting: list[pa.RecordBatch] = []
    for batch in warehouse.stream("validate/arrived_rows", version_key):
        waiting.append(batch)
        if sum(b.num_rows for b in waiting) >= BATCH:
            yield pa.Table.from_batches(waiting)
            waiting = []
    if sum(b.num_rows for b in waiting):
        yield pa.Table.from_batches(waiting)


def _examples(
    warehouse: Warehouse, rule: RowRule, version_key: Mapping[str, object], arrivals: Arrivals
) -> tuple[tuple[int, str | None], ...]:
    parameters = {**version_key, "column": rule.column, "arrivals": arrivals[:EXAMPLES].tolist()}
    rows = warehouse.query("validate/example_values", parameters).to_pylist()
    return tuple((row["arrival"], row["value"]) for row in rows)


def _find_suspect_rules(rules: Sequence[RowRule], batches: Iterable[pa.Table]) -> list[RowRule]:
    """The rules that some row breaks: only the few values that decide them are put to them, because most nights are clean."""
    suspect: set[str] = set()
    for values in deciding_values(rules, batches, BATCH):
        suspect |= {code for code, said in _judge_values(rules, values, "BOOLEAN_ONLY").items() if not said["success"]}
    return [rule for rule in rules if rule.code in suspect]


def _find_broken(rules: Sequence[RowRule], rows: pa.Table) -> dict[str, Arrivals]:
    """Arrivals of the rows that break each rule, by its code."""
    columns = {
        name: comparable(rows.column(name)).dictionary_encode("encode") for name in {rule.column for rule in rules}
    }
    said = _judge_values(rules, {rule.code: columns[rule.column].dictionary for rule in rules}, "COMPLETE")
    arrival, arrivals = rows.column("arrival").to_numpy(), {}
    for rule in rules:
        values = columns[rule.column]
        bad = np.isin(np.arange(len(values.dictionary)), said[rule.code]["result"]["unexpected_index_list"])
        arrivals[rule.code] = arrival[bad[values.indices.to_numpy()]].astype(np.int64)
    return arrivals


def _judge_values(rules: Sequence[RowRule], values: Mapping[str, pa.Array], form: Form) -> dict[str, dict[str, Any]]:
    """What Great Expectations says of each rule, by its code; every rule has a column of its own in one frame."""
    if not rules:
        return {}
    most = max(len(each) for each in values.values())
    filled = {rule.code: _pad_values(rule, values[rule.code], most) for rule in rules}
    expectations = [(rule.code, _row_expectation(rule)) for rule in rules]
    return _run_expectations(expectations, pa.table(filled).to_pandas(), form)


def _pad_values(rule: RowRule, values: pa.Array, length: int) -> pa.Array:
    """The values with more after them, as many as the longest column has, of which none breaks the rule that did not.

    Texts are followed by nulls, which only the null rule looks at, and that one never at the text: one long value, again
    and again, would be more than a column can hold.
    """
    if rule.kind == "null":
        values = pc.if_else(pc.is_valid(values), True, None)
    elif pa.types.is_string(values.type):
        return pa.concat_arrays([values, pa.nulls(length - len(values), values.type)])
    return values.take(np.minimum(np.arange(length), len(values) - 1))


def _row_expectation(rule: RowRule) -> Any:
    import great_expectations as gx

    gxe: Any = gx.expectations  # its names are re-exported implicitly, which a strict checker refuses
    column, meta = rule.code, {"code": rule.code}
    if rule.kind == "null":
        return gxe.ExpectColumnValuesToNotBeNull(column=column, meta=meta)
    if rule.kind == "length":
        return gxe.ExpectColumnValueLengthsToBeBetween(column=column, max_value=int(rule.most or 0), meta=meta)
    if rule.kind == "forbidden":
        return gxe.ExpectColumnValuesToNotMatchRegex(column=column, regex=rule.pattern, meta=meta)
    if rule.kind == "kinds":
        return gxe.ExpectColumnValuesToMatchRegex(column=column, regex=rule.pattern, meta=meta)
    if rule.kind == "values":
        return gxe.ExpectColumnValuesToBeInSet(column=column, value_set=list(rule.allowed), meta=meta)
    return gxe.ExpectColumnValuesToBeBetween(column=column, min_value=rule.least, max_value=rule.most, meta=meta)


def _judge_period(checks: Sequence[Check]) -> dict[str, dict[str, Any]]:
    """The period's statistics as a frame of one row, each check an expectation of one column: the largest of one value is it."""
    import great_expectations as gx
    import pandas as pd

    judged = [check for check in checks if check.is_judged]
    if not judged:
        return {}
    gxe: Any = gx.expectations
    frame = pd.DataFrame({check.name: [check.observed] for check in judged})
    expectations: list[tuple[str, Any]] = []
    for check in judged:
        name, meta = check.name, {"code": check.name}
        low, high = (None if math.isinf(side) else side for side in (check.low, check.high))
        if math.isnan(check.observed):  # to Great Expectations a NaN is a missing value, and those are in every range
            expectation = gxe.ExpectColumnValuesToNotBeNull(column=name, meta=meta)
        else:
            expectation = gxe.ExpectColumnMaxToBeBetween(column=name, min_value=low, max_value=high, meta=meta)
        expectations.append((name, expectation))
    return _run_expectations(expectations, frame, "BASIC")


def _run_expectations(
    expectations: Sequence[tuple[str, Any]], frame: pd.DataFrame, form: Form
) -> dict[str, dict[str, Any]]:
    """What Great Expectations says of each expectation, by code; a check that could not be run is a RuntimeError."""
    import great_expectations as gx
    from great_expectations.data_context.types.base import (
        DataContextConfig,
        InMemoryStoreBackendDefaults,
        ProgressBarsConfig,
    )

    quiet = DataContextConfig(
        store_backend_defaults=InMemoryStoreBackendDefaults(),
        analytics_enabled=False,
        progress_bars=ProgressBarsConfig(globally=False),
    )
    context = gx.get_context(mode="ephemeral", project_config=quiet)
    asset = context.data_sources.add_pandas("lake").add_dataframe_asset("rows")
    batch = asset.add_batch_definition_whole_dataframe("all").get_batch(batch_parameters={"dataframe": frame})
    suite = gx.ExpectationSuite(name="rules", expectations=[expectation for _, expectation in expectations])
    results: dict[str, dict[str, Any]] = {}
    for outcome in batch.validate(suite, result_format={"result_format": form}).results:
        result = cast("dict[str, Any]", outcome.to_json_dict())
        code = result["expectation_config"]["meta"]["code"]
        if result["exception_info"].get("raised_exception"):
            raise RuntimeError(f"the check {code} could not be made: {result['exception_info']['exception_message']}")
        results[code] = result
    return {code: results[code] for code, _ in expectations}
