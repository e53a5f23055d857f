"""Clean copy: the clean rows of one version of a period, where many small questions can be put to them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from nightloop.tasks.lake.warehouse import Warehouse
from nightloop.tasks.validation.id_kinds import define_id_kind

LOOKED_AT = 20_000  # rows that answer what a sample can answer, so that memory and time stay flat
COPIED = 10_000_000  # values that are copied into memory; they take up 16 bytes each, and more if they are long texts


@contextmanager
def clean_rows(warehouse: Warehouse, period: int, version: int, values: int) -> Iterator[None]:
    """Let statements read `clean_rows` while the block runs: the clean rows of one version, which has about so many `values`. And
    `some_rows`, every n-th of them; and `clean_ids`: its users and items, each once, whose kinds `id_kind` tells.

    Before it reads a row, a statement on the lake spends a hundredth of a second on the catalog. So a small version is copied once.
    """
    key = {"period": period, "version": version}
    if copied := values <= COPIED:
        warehouse.query("validate/copy_clean_rows", key)
    else:
        warehouse.define("validate/view_clean_rows", {name: str(number) for name, number in key.items()})
    try:
        define_id_kind(warehouse)
        warehouse.query("validate/count_clean_ids")
        warehouse.query("validate/copy_some_rows", {"most": LOOKED_AT})
        yield
    finally:
        warehouse.query("validate/drop_some_rows")
        warehouse.query("validate/drop_clean_ids")
        warehouse.query("validate/drop_clean_copy" if copied else "validate/drop_clean_view")
