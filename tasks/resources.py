"""Open what a task works on: the store, the lake and the plug-ins, from the settings of this machine."""

from __future__ import annotations

import getpass
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from nightloop.tasks.lake.catalog_marks import leave_mark
from nightloop.tasks.lake.warehouse import Warehouse
from nightloop.tasks.objects.objects import Objects, open_for_reading, open_objects
from nightloop.tasks.objects.s3_client import usual_credentials
from nightloop.tasks.objects.stored_plans import load_stored_plan
from nightloop.tasks.plan import load
from nightloop.tasks.plan.atomic_file import write_text
from nightloop.tasks.plan.context_value import use_value
from nightloop.tasks.plan.load import STORED, find_plan
from nightloop.tasks.plan.plan import Plan
from nightloop.tasks.plan.safe_text import hide_secrets
from nightloop.tasks.plan.settings import Settings, aws_keys
from nightloop.tasks.record.entries import GATE


@dataclass(frozen=True)
class Resources:
    """What a flow keeps open for its tasks: the store, and the lake of its pipeline."""

    objects: Objects
    lake: Warehouse
    pipeline: str


_OPEN: ContextVar[Resources | None] = ContextVar("resources", default=None)


@hide_secrets()
def open_store(settings: Settings | None = None) -> Objects:
    """The store: the flow's, or a new one, with credentials from the Prefect block that the settings name or the usual chain."""
    if settings is None and (resources := _OPEN.get()):
        return resources.objects
    settings = settings or Settings()
    return open_objects(settings, credentials(settings))


@contextmanager
def open_lake(plan: Plan) -> Iterator[Warehouse]:
    """The pipeline's lake: the flow's, or a new one."""
    with hide_secrets():
        if (resources := _OPEN.get()) and resources.pipeline == plan.pipeline:
            yield resources.lake
            return
        settings = Settings()
        with Warehouse.open(settings, plan.pipeline, lake_credentials(settings, plan)) as warehouse:
            leave_mark(warehouse, settings, plan.pipeline)
            yield warehouse


@hide_secrets()
def open_store_to_read() -> Objects:
    """The store, of which nothing is written: it may be on a read-only disk."""
    settings = Settings()
    return open_for_reading(settings, credentials(settings))


@contextmanager
def open_lake_to_read(plan: Plan) -> Iterator[Warehouse]:
    """The pipeline's lake, or a copy of its catalog if it cannot be opened, as on a disk that is read-only or full."""
    with ExitStack() as stack:
        try:
            lake = stack.enter_context(open_lake(plan))
        except OSError:
            if Settings().postgres:
                raise
            lake = stack.enter_context(_copied_lake(plan))
        yield lake


@contextmanager
def _copied_lake(plan: Plan) -> Iterator[Warehouse]:
    """A lake with a copy of the pipeline's catalog, in a temporary directory."""
    settings = Settings()
    directory = settings.home.absolute() / "lake"
    with hide_secrets(), TemporaryDirectory() as room:
        copy = Path(room) / "lake"
        copy.mkdir()
        catalog = list(directory.glob(f"{plan.pipeline}.sqlite*"))  # with its write-ahead log
        for file in catalog:
            shutil.copy(file, copy)
        data = (settings.data or str(directory)) if catalog else ""
        elsewhere = settings.model_copy(update={"home": Path(room), "data": data})
        with Warehouse.open(elsewhere, plan.pipeline, lake_credentials(settings, plan)) as warehouse:
            yield warehouse


@contextmanager
def keep_open(plan: Plan, objects: Objects | None = None) -> Iterator[None]:
    """Keep the store (`objects`, if it is open) and the lake open for a flow: opening them takes longer than most queries."""
    with open_lake(plan) as lake, use_value(_OPEN, Resources(objects or open_store(), lake, plan.pipeline)):
        yield


def try_lake(pipeline: str, home: Path | None = None) -> dict[int, int]:
    """Attach the lake of a pipeline and take the write lock, without writing anything. `home`: use a new lake there.

    Returns the newest version of every period in it.
    """
    settings = Settings()
    if home is not None:
        settings = settings.model_copy(update={"home": home, "data": ""})
    with hide_secrets(), Warehouse.open(settings, pipeline, lake_credentials(settings)) as warehouse:
        warehouse.write(lambda: None)
        return warehouse.latest()


@hide_secrets()
def plan_file(plan: str) -> Path:
    """The file of the plan of this name or path. Of a plan that the store keeps (`shop@...`): a copy of it under home."""
    settings = Settings()
    if not STORED.fullmatch(plan):
        return find_plan(plan, settings.plan_places)
    path, text = settings.deployed_plans / f"{plan}.yaml", load_stored_plan(open_store(), plan)
    if not path.exists() or path.read_bytes() != text:
        write_text(path, text.decode())
    return path


@hide_secrets()
def read_plan_form(plan: str) -> Plan:
    """The plan of this name or path, as it is written. Its plug-ins and their options are not checked."""
    form = load.read_form(plan_file(plan))
    load.remember_name(form, plan)
    return form


@hide_secrets()
def read(plan: str) -> Plan:
    """The plan of this name or path, every plug-in option checked."""
    from nightloop.tasks.plugins.assembly import read_plan  # torch, which verbs that only read the record do not need

    checked = read_plan(plan_file(plan))
    load.remember_name(checked, plan)
    return checked


def actor() -> str:
    """Who acts: the name of the user of this machine, in a form that is never the gate's name."""
    try:
        name = getpass.getuser()
    except (KeyError, OSError):  # a container whose user has no name
        name = f"user {os.getuid()}"
    return f"{name} (a person)" if name == GATE else name


def lake_credentials(settings: Settings, plan: Plan | None = None) -> Mapping[str, str] | None:
    """S3 credentials for the lake and for the files that a plan's source reads; None: neither is on S3."""
    wanted = settings.lake_on_s3 or (plan is not None and plan.reads_s3)
    return (credentials(settings) or usual_credentials()) if wanted else None


def credentials(settings: Settings) -> Mapping[str, str] | None:
    """S3 credentials from the Prefect block that the settings name; None: the usual chain."""
    if not settings.s3_credentials_block:
        return None
    from prefect_aws import AwsCredentials  # only where a block is named: the import takes a second

    block: Any = AwsCredentials.load(settings.s3_credentials_block)
    secret = block.aws_secret_access_key
    return aws_keys(block.aws_access_key_id, secret.get_secret_value() if secret else None, block.aws_session_token)
