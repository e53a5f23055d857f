"""The Settings: where things are, read from the environment; none of them may change a result."""

from __future__ import annotations

from pathlib import Path

from pydantic import ByteSize, Field, SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict


class Settings(BaseSettings):
    """Places and limits, each from an environment variable `NIGHTLOOP_<NAME>`."""

    model_config = SettingsConfigDict(env_prefix="NIGHTLOOP_", frozen=True, extra="ignore")

    home: Path = Field(Path(".nightloop"), description="Directory of the embedded defaults.")
    store: str = Field("", description="Where checkpoints and manifests go: a directory or s3://bucket/prefix.")
    data: str = Field("", description="Where the lake's Parquet files go: a directory or s3://bucket/prefix.")
    catalog: str = Field("", description="Empty: SQLite under home; else postgres:dbname=... host=... .")
    plans: Path = Field(Path("infra/plans"), description="Directory in which plans are found by name.")
    s3_endpoint: str = Field("", description="URL of an S3-compatible server; empty: AWS.")
    s3_region: str = "us-east-1"
    s3_path_style: bool = Field(False, description="Bucket in the path, not in the host name.")
    s3_credentials_block: str = Field("", description="Name of a Prefect AWS credentials block; empty: usual chain.")
    # The names that every S3 tool knows; without them the usual chain is asked: profiles, roles.
    aws_access_key_id: SecretStr = Field(SecretStr(""), validation_alias="AWS_ACCESS_KEY_ID")
    aws_secret_access_key: SecretStr = Field(SecretStr(""), validation_alias="AWS_SECRET_ACCESS_KEY")
    aws_session_token: SecretStr = Field(SecretStr(""), validation_alias="AWS_SESSION_TOKEN")
    memory: str = Field("1500MB", description="Memory DuckDB may use before it spills to disk.")
    logs_memory: ByteSize = Field(ByteSize(2 * 10**9), description="Logs larger than this lie in files under home.")
    records: ByteSize = Field(ByteSize(50 * 10**9), description="Of what is served, no more than this is recorded.")
    serve_token: SecretStr = Field(SecretStr(""), description="What a request to `nightloop serve` must carry, if set.")
    lease_seconds: int = Field(120, ge=5, description="A writer that shows no sign of life this long is presumed dead.")

    @property
    def plan_places(self) -> tuple[Path, Path]:
        """Where plans are found by name: the directory of plans, then that of the home (the demo's are there)."""
        return self.plans, self.home / "plans"

    @property
    def lake_on_s3(self) -> bool:
        """Whether the lake needs S3: its data are there, or files are read from a server of one's own."""
        return self.lake_place.startswith("s3://") or bool(self.s3_endpoint)

    @property
    def s3_keys(self) -> dict[str, str]:
        """S3 credentials from the environment by their usual names; empty where there are none."""
        names = ("aws_access_key_id", "aws_secret_access_key", "aws_session_token")
        return {name: secret for name in names if (secret := getattr(self, name).get_secret_value())}

    @property
    def store_place(self) -> str:
        """The store's place: as given, or `store` under home."""
        return self.store or str(self.home / "store")

    @property
    def lake_place(self) -> str:
        """The lake's data place: as given, or `lake` under home."""
        return self.data or str(self.home / "lake")
