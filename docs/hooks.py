"""Hooks of mkdocs: tables that are made from the code, and files of the repository that are pages of the site as well.

Lines of a page that are replaced: `<!-- fields: Gate -->` by the table of that part of a plan, `<!-- settings -->` by the
table of the settings, `<!-- options: models -->` by the reference of all models.

A field that has no description in the code needs one in `MEANINGS`. A field without either, or a meaning of a field that is
gone, is a warning, and `mkdocs build --strict` then fails.
"""

from __future__ import annotations

import inspect
import json
import logging
import re
import sys
import tomllib
from pathlib import Path
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page
from pydantic import BaseModel, ByteSize, SecretStr

ROOT = Path(__file__).resolve().parents[1]
if str(ROOT) not in sys.path:
    sys.path.insert(0, str(ROOT))

from nightloop.tasks.plan import expectations as expectations_module  # noqa: E402
from nightloop.tasks.plan import plan as plan_module  # noqa: E402
from nightloop.tasks.plan.plan import Plan  # noqa: E402
from nightloop.tasks.plan.settings import Settings  # noqa: E402

log = logging.getLogger("mkdocs.hooks.reference")

# Files of the repository that are pages or pictures of the site as well: what they are called there.
ALSO = {
    "CONTRIBUTING.md": "contributing.md",
    "SECURITY.md": "security.md",
    "CHANGELOG.md": "changelog.md",
    "infra/pictures/report.png": "pictures/report.png",
    "infra/pictures/ui-backfill.png": "pictures/ui-backfill.png",
    "infra/pictures/ui-artifacts.png": "pictures/ui-artifacts.png",
}

# What fields mean that have no description in the code.
BAND = "`severity`, `sides`, `nights`, `least`, `width`, `relative`, `absolute`: see *Band* below."
MEANINGS = {
    "Plan.source": "Where the logs come from: a source and its options. See [Data sets](datasets.md).",
    "Plan.columns": "Which column of the source plays which role. See *columns* below.",
    "Plan.periods": "How the logs are cut into periods: by the calendar, or by equal numbers of rows. See *periods* below.",
    "Plan.model": "The model that is retrained, and its options. See [Models](models.md).",
    "Plan.strategies": "The strategies that compete, by a label of your own. See [Strategies](strategies.md).",
    "Plan.serving": "What the service keeps between two champions. See *serving* below.",
    "Plan.expectations": "What validation checks. See *expectations* below.",
    "Plan.ranking": "How rankings are scored. See *ranking* below.",
    "Plan.gate": "When a challenger is promoted. See *gate* below.",
    "Plan.seed": "The seed of all random numbers of the pipeline.",
    "Columns.user": "Column that holds the id of the user.",
    "Columns.item": "Column that holds the id of the item.",
    "Columns.time": "Column that holds the time of the row.",
    "Columns.time_unit": "Unit of times that are numbers; `auto` finds it from their size.",
    "Columns.categorical": "Categorical columns.",
    "Columns.numeric": "Numeric columns.",
    "Calendar.every": "Unit of a period.",
    "Calendar.length": "How many units a period has.",
    "Calendar.timezone": "Time zone of the calendar.",
    "Counts.rows": "Rows of a period.",
    "Ranking.negatives": "Sampled candidates a row, besides the item that was taken.",
    "Ranking.k": "Lengths of the list at which recall and NDCG are measured.",
    "Expectations.volume": f"Rows that arrived. {BAND}",
    "Expectations.label_rate": f"Mean of the labels. {BAND}",
    "Expectations.duplicates": "Share of rows that repeat the key of another row.",
    "Expectations.outside_period": "Share of rows whose time lies outside the period.",
    "Limit.severity": "What happens if the check fails: `block` stops the night, `warn` reports, `off` does not check.",
    "Limit.most": "Largest value allowed.",
    "Band.severity": "What happens if the check fails.",
    "Band.sides": "Whether values above, below or on both sides of the band fail.",
    "Band.nights": "How many of the last passed nights count.",
    "Band.least": "Passed nights that are needed before anything is judged.",
    "Band.width": "Half the width of the band in robust standard deviations.",
    "Band.relative": "Least half width, as a share of the median.",
    "Band.absolute": "Least half width, as a number.",
    "Sudden.severity": "What happens if the check fails.",
    "Sudden.most": "Largest share allowed.",
    "Sudden.before": "The check applies only if the share was at most this in the night that passed before.",
    "Drift.severity": "What happens if the check fails.",
    "Drift.most": "Largest distance allowed.",
    "Drift.nights": "How many of the last passed nights are compared with.",
    "Drift.least": "Passed nights that are needed before anything is judged.",
    "Settings.s3_region": "Region of the S3 server.",
    "Settings.aws_access_key_id": "S3 credentials. If they are not set, the usual AWS chain applies: profiles, roles.",
    "Settings.aws_secret_access_key": "As above.",
    "Settings.aws_session_token": "As above.",
}


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the files of the repository that belong to the site."""
    for source, name in ALSO.items():
        files.append(File.generated(config, name, abs_src_path=str(ROOT / source)))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Put the tables into a page, and let links to files of the repository lead to their pages."""
    if page.file.src_uri == "plan.md":
        _check_meanings()
    markdown = re.sub(r"<!-- fields: (\w+) -->", lambda found: plan_table(found[1]), markdown)
    markdown = markdown.replace("<!-- settings -->", settings_table())
    markdown = re.sub(r"<!-- options: (\w+) -->", lambda found: options(found[1]), markdown)
    return _links(markdown, page.file.src_uri)


def plan_table(name: str) -> str:
    """The fields of one part of a plan: its name, type and default, and what it means."""
    schema = Plan.model_json_schema()
    shape, kind = schema if name == "Plan" else schema["$defs"][name], _kind(name)
    rows = ["| field | type | default | what it means |", "|---|---|---|---|"]
    for field, of in shape["properties"].items():
        default = "required" if field in shape.get("required", ()) else f"`{_shown(_default(kind, field))}`"
        means = of.get("description") or MEANINGS.get(f"{name}.{field}", "")
        if not means:
            log.warning("%s.%s has no description: give it one in the code, or in docs/hooks.py", name, field)
        rows.append(f"| `{field}` | {_cell(_type(of))} | {_cell(default)} | {_cell(means)} |")
    return "\n".join(rows)


def settings_table() -> str:
    """The settings: the variable of each, its default, and what it means."""
    rows = ["| variable | default | what it means |", "|---|---|---|"]
    for field, of in Settings.model_fields.items():
        variable = str(of.validation_alias or f"NIGHTLOOP_{field.upper()}")
        value = of.get_default(call_default_factory=True)
        shown = value.get_secret_value() if isinstance(value, SecretStr) else value
        shown = shown.human_readable(decimal=True) if isinstance(shown, ByteSize) else shown
        default = "" if shown in ("", None) else f"`{str(shown).lower() if isinstance(shown, bool) else shown}`"
        means = of.description or MEANINGS.get(f"Settings.{field}", "")
        if not means:
            log.warning("the setting %s has no description: give it one in the code, or in docs/hooks.py", field)
        rows.append(f"| `{variable}` | {default or 'not set'} | {_cell(means)} |")
    return "\n".join(rows)


def options(group: str) -> str:
    """What mkdocstrings says of every plug-in of a group, by the name that a plan gives it."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    shown = "{members: false, show_root_full_path: false, merge_init_into_class: true}"
    points = sorted(project["entry-points"][f"nightloop.{group}"].items(), key=lambda point: point[0].lower())
    return "\n\n".join(
        f"::: {place.replace(':', '.')}\n    options: {shown}\n\nIn a plan: `use: {name}`" for name, place in points
    )


def _kind(name: str) -> type[BaseModel]:
    found = getattr(plan_module, name, None) or getattr(expectations_module, name)
    if not (inspect.isclass(found) and issubclass(found, BaseModel)):
        raise LookupError(f"{name} is no part of a plan")
    return found


def _default(kind: type[BaseModel], field: str) -> Any:
    value = kind.model_fields[field].get_default(call_default_factory=True)
    return value.model_dump(mode="json", exclude_defaults=True) if isinstance(value, BaseModel) else value


def _shown(value: Any) -> str:
    """A value as a plan would have it on one line; an empty text is shown as two quotes."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{name}: {_shown(one)}" for name, one in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(_shown, value)) + "]"
    return value if isinstance(value, str) and value else json.dumps(value)


def _type(of: dict[str, Any]) -> str:
    """A type of JSON schema in words."""
    if "$ref" in of:
        name = of["$ref"].rsplit("/", 1)[-1]
        return "any value" if name == "JsonValue" else name
    if "anyOf" in of:
        kinds = [_type(one) for one in of["anyOf"] if one.get("type") != "null"]
        return " or ".join(dict.fromkeys(kinds))
    if "enum" in of:
        return ", ".join(f"`{value}`" for value in of["enum"])
    if of.get("type") == "array":
        several = of.get("prefixItems")
        return f"list of {len(several)} {_type(several[0])}s" if several else f"list of {_type(of['items'])}"
    if of.get("type") == "object":
        return f"mapping of names to {_type(of['additionalProperties'])}"
    words = {"integer": "whole number", "number": "number", "string": "text", "boolean": "`true`, `false`"}
    return words.get(of.get("type", ""), "any value") + _range(of)


def _range(of: dict[str, Any]) -> str:
    limits = {"minimum": "at least", "exclusiveMinimum": "above", "maximum": "at most", "exclusiveMaximum": "below"}
    found = [f"{words} {of[limit]:,}" for limit, words in limits.items() if limit in of]
    return f", {', '.join(found)}" if found else ""


def _cell(text: str) -> str:
    """Text in a cell of a table: one line, no bar that would end the cell."""
    return re.sub(r"\s+", " ", text).replace("|", "\\|")


def _check_meanings() -> None:
    """Warn of meanings of fields that the code no longer has."""
    for place in MEANINGS:
        name, field = place.split(".")
        kind = Settings if name == "Settings" else _kind(name)
        if field not in kind.model_fields:
            log.warning("docs/hooks.py gives a meaning for %s, which the code no longer has", place)


def _links(markdown: str, page: str) -> str:
    """Links that are right in the repository, made right for the site."""
    if page in ALSO.values():
        return re.sub(r"\]\((?:docs/)", "](", re.sub(r"\]\((SECURITY|CHANGELOG)\.md", _lower, markdown))
    for source, name in ALSO.items():
        markdown = re.sub(rf"\]\(\.\./((?:\.\./)*){re.escape(source)}", rf"](\g<1>{name}", markdown)
    return markdown


def _lower(found: re.Match[str]) -> str:
    return found[0].lower()
