"""The Settings: places and limits, read from the environment. None of them may change a result."""

from __future__ import annotations

import os
import re
from functools import lru_cache
from pathlib import Path
from typing import Any

from pydantic import ByteSize, Field, SecretStr, ValidationError, ValidationInfo, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from nightloop import infra
from nightloop.tasks.plan import dsn
from nightloop.tasks.plan.errors import PlanError, mistake_message

PACKAGE = Path(str(infra.__file__)).parent  # files of the package: plans, the description of the deployments
AWS_KEYS = ("aws_access_key_id", "aws_secret_access_key", "aws_session_token")
# Endings of the names of environment variables whose value is a credential.
CREDENTIALS = (
    "PASSWORD", "PASSWD", "PASSPHRASE", "SECRET", "TOKEN", "ACCESS_KEY", "ACCESS_KEY_ID", "API_KEY", "SECRET_KEY",
    "ACCOUNT_KEY", "PRIVATE_KEY", "AUTH_STRING",
)  # fmt: skip


class Settings(BaseSettings):
    """Places and limits, each from an environment variable `NIGHTLOOP_<NAME>`. Raises PlanError if one is not allowed."""

    model_config = SettingsConfigDict(env_prefix="NIGHTLOOP_", frozen=True, extra="ignore", hide_input_in_errors=True)

    prefect: bool | None = Field(
        None, description="Whether Prefect runs the flows that a verb starts; not set: where PREFECT_API_URL is."
    )
    home: Path = Field(Path(".nightloop"), description="Directory of the embedded defaults.")
    store: str = Field("", description="Where checkpoints and manifests go: a directory or s3://bucket/prefix.")
    store_id: str = Field(
        "", description="Id that the store must have; deployments set it, so that no worker uses another store."
    )
    data: str = Field("", description="Where the lake's Parquet files go: a directory or s3://bucket/prefix.")
    catalog: SecretStr = Field(
        SecretStr(""),
        description="Empty: SQLite under home; else postgres:dbname=... host=...; its password in .pgpass.",
    )
    plans: Path = Field(Path("infra/plans"), description="Directory in which plans are found by name.")
    s3_endpoint: str = Field("", description="URL of an S3-compatible server; empty: AWS.")
    s3_region: str = "us-east-1"
    s3_path_style: bool = Field(False, description="Bucket in the path, not in the host name.")
    s3_credentials_block: str = Field("", description="Name of a Prefect AWS credentials block; empty: usual chain.")
    # The usual names of S3 tools; without them boto3's chain is used: profiles, roles.
    aws_access_key_id: SecretStr = Field(SecretStr(""), validation_alias="AWS_ACCESS_KEY_ID")
    aws_secret_access_key: SecretStr = Field(SecretStr(""), validation_alias="AWS_SECRET_ACCESS_KEY")
    aws_session_token: SecretStr = Field(SecretStr(""), validation_alias="AWS_SESSION_TOKEN")
    memory: str = Field("1500MB", description="Memory DuckDB may use before it spills to disk.")
    threads: int = Field(
        0,
        ge=0,
        description="Threads that the lake's statements may use; 0: one up to 300,000 rows in the lake, else one for each core.",
    )
    logs_memory: ByteSize = Field(ByteSize(2 * 10**9), description="Logs larger than this lie in files under home.")
    records: ByteSize = Field(ByteSize(50 * 10**9), description="Of what is served, no more than this is recorded.")
    serve_token: SecretStr = Field(SecretStr(""), description="What a request to `nightloop serve` must carry, if set.")
    runner: str = Field(
        "auto",
        description="Where strategies train: sequential, processes:N, torchrun, dask:tcp://..., ray://... or auto.",
    )
    lease_seconds: int = Field(
        120, ge=5, le=86_400, description="A writer that shows no sign of life this long is presumed dead."
    )

    def __init__(self, **given: Any) -> None:
        try:
            super().__init__(**given)
        except ValidationError as error:
            raise PlanError("; ".join(_sentence(mistake) for mistake in error.errors(include_url=False))) from None

    @field_validator("catalog")
    @classmethod
    def _check_catalog(cls, given: SecretStr) -> SecretStr:
        text = given.get_secret_value()
        if text and not text.startswith("postgres:"):
            raise PlanError(f"it names PostgreSQL as {dsn.FORMS}; leave it empty for SQLite under home")
        try:
            dsn.read_catalog(text.removeprefix("postgres:"))
        except ValueError as error:
            raise PlanError(f"behind postgres: {error}") from None
        return given

    @field_validator("store", "data", "s3_endpoint")
    @classmethod
    def _refuse_credentials(cls, given: str, info: ValidationInfo) -> str:
        endpoint = info.field_name == "s3_endpoint"
        if "@" in given if endpoint else dsn.holds_login(given):
            raise PlanError(
                "the URL has a user name or password in it; leave them out, and set AWS_ACCESS_KEY_ID and "
                "AWS_SECRET_ACCESS_KEY, or use a profile or a role"
            )
        return given

    @field_validator("runner")
    @classmethod
    def _check_runner(cls, given: str) -> str:
        if not re.fullmatch(r"auto|sequential|torchrun|processes:[1-9][0-9]?|dask:\w+://[^\s@]+|ray://[^\s@]+", given):
            raise PlanError(
                f"given {given!r:.80}; allowed are auto, sequential, processes:2 (1 to 99), torchrun, dask:tcp://HOST:PORT "
                "and ray://HOST:PORT"
            )
        return given

    @property
    def uses_prefect(self) -> bool:
        """Whether Prefect runs a flow that a verb or a program starts. Flows of deployments are always run by Prefect."""
        return bool(os.environ.get("PREFECT_API_URL")) if self.prefect is None else self.prefect

    @property
    def plan_places(self) -> tuple[Path, ...]:
        """Directories in which plans are found by name: the plans directory, that of the home (the demo's), the package's."""
        return self.plans, self.home / "plans", PACKAGE / "plans"

    @property
    def deployed_plans(self) -> Path:
        """Directory of the copies of plans that deployments name; they are not found by a plain name."""
        return self.home / "plans" / "deployed"

    @property
    def lake_on_s3(self) -> bool:
        """Whether the lake needs S3: its data are there, or an S3 endpoint is set, from which files may be read."""
        return self.lake_place.startswith("s3://") or bool(self.s3_endpoint)

    @property
    def postgres(self) -> dsn.Catalog | None:
        """The catalog in PostgreSQL, with its password separate; None: the catalog is SQLite."""
        text = self.catalog.get_secret_value()
        return dsn.read_catalog(text.removeprefix("postgres:")) if text else None

    @property
    def s3_keys(self) -> dict[str, str]:
        """S3 credentials from the environment by their usual names; empty if there are none."""
        return aws_keys(*(getattr(self, name).get_secret_value() for name in AWS_KEYS))

    @property
    def store_place(self) -> str:
        """The store's place: as given, or `store` under home."""
        return self.store or str(self.home / "store")

    @property
    def lake_place(self) -> str:
        """The lake's data place: as given, or `lake` under home."""
        return self.data or str(self.home / "lake")

    def data_path(self, pipeline: str) -> str:
        """The directory or s3:// prefix of a pipeline's Parquet files, absolute and without a slash at its end."""
        place = self.lake_place if "://" in self.lake_place else str(Path(self.lake_place).absolute())
        return f"{place}/{pipeline}"


def _sentence(mistake: Any) -> str:
    """A mistake in a setting, by the name of its environment variable; its value may hold a credential."""
    name = str(mistake["loc"][0])
    variable = name if name.isupper() else f"NIGHTLOOP_{name.upper()}"
    return f"{variable}: {mistake_message(mistake)}"


def aws_keys(*values: str | None) -> dict[str, str]:
    """The key's id, its secret and the session's token, by the names that boto3 has for them; those that there are."""
    return {name: value for name, value in zip(AWS_KEYS, values, strict=True) if value}


def torchrun_rank() -> int | None:
    """The number of this process among those that torchrun started together; None: it did not start this one."""
    given = os.environ.get("RANK", "")
    return int(given) if given.isdecimal() and "WORLD_SIZE" in os.environ else None


def user_cache() -> Path:
    """Where programs keep what they can make again: `XDG_CACHE_HOME`, or `~/.cache`."""
    given = os.environ.get("XDG_CACHE_HOME", "")
    return Path(given) if os.path.isabs(given) else Path(os.path.expanduser("~")) / ".cache"


def credentials_of_process() -> tuple[str, ...]:
    """Every credential in the environment: values of variables with such names, and passwords within other values."""
    # A report calls this for each of its cells, and to decode the environment each time took a third of a report's time.
    stored = getattr(os.environ, "_data", os.environ)
    return _find_credentials(tuple(stored.items()))


@lru_cache(maxsize=1)
def _find_credentials(environment: tuple[tuple[str | bytes, str | bytes], ...]) -> tuple[str, ...]:
    values = set()
    for name, value in ((os.fsdecode(name), os.fsdecode(value)) for name, value in environment):
        if name.upper().endswith(CREDENTIALS):
            values |= {value, value.partition(":")[2]}  # user:password
        elif name == "NIGHTLOOP_CATALOG":
            values.add(dsn.password_of(value))
        elif url := re.match(r"[A-Za-z][\w+.-]*://[^/?#\s:]*:(\S*)@", value):  # of a database, a proxy
            values.add(url[1])
    return tuple(sorted(values - {""}))
