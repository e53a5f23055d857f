"""Nights whose store and lake lie on S3: the same models as on disk, and S3 servers that are refused."""

from __future__ import annotations

from pathlib import Path

import boto3
import pytest
from prefect_aws import AwsCredentials

import nightloop.tasks.resources
from tests.flows.tiny_pipeline import Tiny, begin, run
from tests.record.act_sequences import check_invariants
from tests.s3_servers import Server


def on_s3(patch: pytest.MonkeyPatch, server: Server, bucket: str) -> None:
    """Point the settings at a bucket, as an operator would: by the environment alone."""
    patch.setattr(boto3, "DEFAULT_SESSION", None)  # it remembers the credentials it saw first
    for name, value in {
        "NIGHTLOOP_STORE": f"{bucket}/store",
        "NIGHTLOOP_DATA": f"{bucket}/lake",
        "NIGHTLOOP_S3_ENDPOINT": server.endpoint,
        "NIGHTLOOP_S3_PATH_STYLE": "true",
        "AWS_ACCESS_KEY_ID": server.access,
        "AWS_SECRET_ACCESS_KEY": server.secret,
    }.items():
        patch.setenv(name, value)


def names(server: Server, bucket: str) -> list[str]:
    """Every key of a bucket."""
    found = server.client().list_objects_v2(Bucket=bucket.removeprefix("s3://"))
    return [one["Key"] for one in found.get("Contents", [])]


@pytest.fixture
def tiny(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Tiny:
    return begin(tmp_path_factory, monkeypatch, 1, 2)


def test_a_chain_on_s3_is_the_chain_on_disk(
    tiny: Tiny, moto: Server, moto_store_url: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    on_disk = tiny.record()
    log = tiny.log()
    on_s3(monkeypatch, moto, moto_store_url)
    monkeypatch.setenv("NIGHTLOOP_HOME", str(tmp_path / "home"))
    run(tiny, 1, 2)
    assert tiny.record() == on_disk and tiny.log() == log
    check_invariants(nightloop.tasks.resources.open_store(), {}, "tiny")
    keys = names(moto, moto_store_url)
    assert any(key.startswith("store/pipelines/tiny/nights/") for key in keys)
    assert any(key.startswith("lake/tiny/") and key.endswith(".parquet") for key in keys)
    left = [p for p in (tmp_path / "home").rglob("*") if p.is_file() and p.suffix not in (".sqlite", ".sqlite-wal")
            and p.name != "extensions.json"]  # fmt: skip
    assert not left, "nothing but the catalog lies on this machine"
    before = tiny.record()
    run(tiny, 2)
    assert tiny.record() == before


def test_a_server_that_ignores_conditions_is_refused_before_anything_is_written(
    tiny: Tiny, rclone: Server, rclone_store_url: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    on_s3(monkeypatch, rclone, rclone_store_url)
    with pytest.raises(ValueError, match=r"does not honour conditional writes: .*If-None-Match ignored"):
        nightloop.tasks.resources.open_store()
    assert names(rclone, rclone_store_url) == []


def test_wrong_credentials_are_told_and_nothing_is_written(
    tiny: Tiny, rclone: Server, rclone_store_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    on_s3(monkeypatch, rclone, rclone_store_url)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "wrong")
    with pytest.raises(PermissionError, match="s3://"):
        nightloop.tasks.resources.open_store()
    assert names(rclone, rclone_store_url) == []


def test_a_bucket_that_is_not_there_and_a_server_that_is_not(
    tiny: Tiny, moto: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    on_s3(monkeypatch, moto, "s3://nobody-made-this-one")
    with pytest.raises(FileNotFoundError, match="nobody-made-this-one"):
        nightloop.tasks.resources.open_store()
    monkeypatch.setenv("NIGHTLOOP_S3_ENDPOINT", "http://127.0.0.1:9")
    with pytest.raises(OSError, match="nobody-made-this-one"):
        nightloop.tasks.resources.open_store()


@pytest.mark.usefixtures("nightloop_up")
def test_a_prefect_block_gives_the_credentials(
    tiny: Tiny, rclone: Server, rclone_store_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    on_s3(monkeypatch, rclone, rclone_store_url)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "wrong")
    AwsCredentials(aws_access_key_id=rclone.access, aws_secret_access_key=rclone.secret).save("the-store")
    monkeypatch.setenv("NIGHTLOOP_S3_CREDENTIALS_BLOCK", "the-store")
    with pytest.raises(ValueError, match="If-None-Match ignored"):  # it was let in: what it refuses is the server
        nightloop.tasks.resources.open_store()


@pytest.mark.soak
def test_a_profile_reaches_the_lake(
    tmp_path_factory: pytest.TempPathFactory, rclone: Server, rclone_store_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The server checks signatures; no key is in the environment."""
    profile = tmp_path_factory.mktemp("aws") / "credentials"
    profile.write_text(f"[nights]\naws_access_key_id={rclone.access}\naws_secret_access_key={rclone.secret}\n")
    on_s3(monkeypatch, rclone, rclone_store_url)
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "NIGHTLOOP_STORE"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(profile))
    monkeypatch.setenv("AWS_PROFILE", "nights")
    begin(tmp_path_factory, monkeypatch, 1)
    assert any(key.startswith("lake/tiny/") and key.endswith(".parquet") for key in names(rclone, rclone_store_url))
