"""The corpus: every file of it is read right, or its lines that cannot be are put aside with their text and number."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from nightloop.tasks.lake.ingest import land_period
from nightloop.tasks.lake.warehouse import Warehouse
from nightloop.tasks.plan.plan import Columns, Part
from nightloop.tasks.sources import build
from tests.lake.make_lake import day, lake, plan
from tests.sources.corpus import CASES, Case
from tests.sources.corpus_exports import EXPORTS
from tests.sources.corpus_more import MORE
from tests.sources.corpus_public import PUBLIC
from tests.sources.corpus_reported import REPORTED


@pytest.fixture(scope="module")
def pond(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Warehouse]:
    with lake(tmp_path_factory.mktemp("corpus")) as warehouse:
        yield warehouse


EVERY = CASES + MORE + PUBLIC + EXPORTS + REPORTED
QUOTED = [
    case
    for case in EVERY
    if case.file.endswith((".csv", ".tsv")) and b'"' in case.content and not case.options.get("encoding")
]


def _named(case: Case) -> str:
    return f"{case.file.partition('.')[2]}: {case.name}"


@pytest.mark.parametrize("case", QUOTED, ids=_named)
def test_quotes_mean_the_same_line_by_line(case: Case, pond: Warehouse, tmp_path: Path) -> None:
    """Files in UTF-16 are read line by line, and DuckDB reads those in UTF-8."""
    test_what_is_read(replace(case, content=case.content.decode("utf-8-sig").encode("utf-16")), pond, tmp_path)


@pytest.mark.parametrize("case", EVERY, ids=_named)
def test_what_is_read(case: Case, pond: Warehouse, tmp_path: Path) -> None:
    (tmp_path / case.file).write_bytes(case.content)
    source = build(Part(use="files", options={"path": str(tmp_path / case.file), **case.options}))  # type: ignore[dict-item]
    landing = land_period(pond, source, plan(Columns.model_validate(case.columns)), day(0))
    place = {"period": landing.period, "version": landing.version}
    names = ", ".join(f'"{name}"' for name in case.wanted)
    text = f"SELECT {names} FROM logs WHERE period = $period AND version = $version ORDER BY arrival"  # noqa: S608
    assert pond.connection.execute(text, place).fetchall() == list(case.rows)
    text = "SELECT reason, raw FROM quarantine WHERE period = $period AND version = $version ORDER BY arrival"
    aside = pond.connection.execute(text, place).fetchall()
    assert Counter(reason for reason, _ in aside) == Counter(reason for reason, _ in case.aside)
    raw = [text or "" for _, text in aside]
    assert all(any(part in text.replace('\\"', '"') for text in raw) for _, part in case.aside), raw
    assert landing.rows == len(case.rows) + len({*case.aside} and aside)
