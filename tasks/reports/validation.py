"""The validation of one period as tables: what was expected, what came, what is set aside, and what to do."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from nightloop.tasks.plan.load import as_given
from nightloop.tasks.record.manifest import Manifest, PeriodValidation
from nightloop.tasks.reports.format import NONE, escape_markdown, plain, plural, without_severity
from nightloop.tasks.reports.table import Cell, Mood, Table, as_markdown

MOODS: dict[str, Mood] = {"passed": "good", "warned": "warn", "blocked": "bad", "not judged": "quiet", "off": "quiet"}
SAID = {
    "passed": "passed",
    "warned": "passed with warnings",
    "blocked": "is blocked",
    "overridden": "was accepted by hand",
}
WORST = ("blocked", "warned", "passed", "not judged")


def validation(name: str, validated: PeriodValidation, detail: Mapping[str, object]) -> list[Table]:
    """The checks of one period, failed ones first, and the row rules that set rows aside.

    `detail` is the JSON of the validation's blob; if it was not read, the statistics of the manifest are shown.
    """
    title = f"{name} {SAID[validated.verdict]}" + (
        f": {without_severity(validated.reasons[0])}" if validated.reasons else ""
    )
    checks, rules = _lines(detail, "checks"), _lines(detail, "rules")
    if not checks:
        statistics = sorted(validated.statistics.items())
        lines = tuple((Cell(key.replace("_", " ")), _cell(value)) for key, value in statistics)
        return [Table(title, ("statistic", "value"), lines, "", frozenset({1}))]
    checks = sorted(checks, key=lambda line: _rank(line.get("verdict")))
    tables = [_table(title, ("check", "observed", "least", "most", "severity", "verdict", "note"), checks)]
    if rules:
        total = sum(int(str(line.get("rows", 0))) for line in rules)
        aside = f"Row rules set {plural(total, 'row')} aside; a row that breaks two rules counts twice"
        tables.append(_table(aside, ("rule", "allowed", "rows", "examples"), rules))
    return tables


def validation_markdown(night: Manifest, details: Sequence[Mapping[str, object]]) -> str:
    """The artifact of a night's validation: verdict and reasons first, then the checks, then what to do.

    `details` are the JSONs of the blobs of `night.validated`, in its order; it may be shorter.
    """
    parts = []
    for j, validated in enumerate(night.validated):
        logs = night.logs[j] if j < len(night.logs) else None
        name = night.name if len(night.validated) == 1 or logs is None else f"{night.name}, period {logs.period}"
        parts += [as_markdown(table) for table in validation(name, validated, details[j] if j < len(details) else {})]
        if validated.reasons:
            parts.append("".join(f"- {escape_markdown(reason, 600)}\n" for reason in validated.reasons))
        if logs is not None and logs.quarantined:
            parts.append(
                f"{plural(logs.quarantined, 'row')} set aside in `quarantine` with reasons; {logs.rows:,} are clean.\n"
            )
    return "\n".join([*parts, *_to_do(night)])


def _to_do(night: Manifest) -> list[str]:
    if night.outcome != "blocked":
        return []
    pipeline, name = escape_markdown(night.pipeline), escape_markdown(night.name)
    skip = "" if night.previous is None else '; or skip the period with `--skip "why"`'
    return [
        "**To do:** fix the source and run the night again (a new version of the period is landed, later nights "
        f'follow); or, if the logs are right, `nightloop night {as_given(pipeline)} --period {name} --accept "why"`'
        f"{skip}. Until then the champion of the night before continues to serve.\n"
    ]


def _lines(detail: Mapping[str, object], part: str) -> list[Mapping[str, object]]:
    lines = detail.get(part)
    return [line for line in lines if isinstance(line, Mapping)] if isinstance(lines, list | tuple) else []


def _table(title: str, head: tuple[str, ...], lines: Sequence[Mapping[str, object]]) -> Table:
    shown = tuple(key for key in head if any(line.get(key) not in (None, "") for line in lines))
    rows = tuple(tuple(_cell(line.get(key)) for key in shown) for line in lines)
    numbers = {j for j, key in enumerate(shown) if key in ("observed", "least", "most", "rows")}
    return Table(title, shown, rows, "", frozenset(numbers))


def _cell(value: object) -> Cell:
    if value is None or value == "":
        return Cell(NONE, "quiet")
    if isinstance(value, bool):
        return Cell("yes" if value else "no")
    if isinstance(value, int | float):
        return Cell(
            f"{value:,}" if isinstance(value, int) else f"{value:,.0f}" if value.is_integer() else f"{value:,.4g}"
        )
    if isinstance(value, list | tuple):
        return Cell(", ".join(_example(example) for example in value[:3]))
    return Cell(str(value), MOODS.get(str(value), ""))


def _example(value: object) -> str:
    if isinstance(value, Mapping):
        return f"row {plain(value.get('arrival'), 20)}: {plain(value.get('value'), 40)}"
    return plain(value, 40)


def _rank(verdict: object) -> int:
    return WORST.index(verdict) if verdict in WORST else len(WORST)
