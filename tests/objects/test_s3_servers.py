"""The two servers differ as documented: this is why the store is probed. Settings of AWS that cannot be used."""

import boto3
import pytest

from nightloop.tasks.objects.s3_client import client
from nightloop.tasks.plan.errors import PlanError
from nightloop.tasks.plan.settings import Settings
from tests.s3_servers import Server


def put_twice(server: Server, url: str) -> bytes:
    client, bucket = server.client(), url.removeprefix("s3://")
    client.put_object(Bucket=bucket, Key="a", Body=b"first", IfNoneMatch="*")
    try:
        client.put_object(Bucket=bucket, Key="a", Body=b"second", IfNoneMatch="*")
    except client.exceptions.ClientError as error:
        assert error.response["ResponseMetadata"]["HTTPStatusCode"] == 412
    return client.get_object(Bucket=bucket, Key="a")["Body"].read()


def test_moto_honours_conditions(moto: Server, moto_store_url: str) -> None:
    assert put_twice(moto, moto_store_url) == b"first"


def test_rclone_ignores_conditions(rclone: Server, rclone_store_url: str) -> None:
    assert put_twice(rclone, rclone_store_url) == b"second"


@pytest.mark.parametrize(
    ("name", "said"), [("AWS_ACCESS_KEY_ID", "missing: AWS_SECRET_ACCESS_KEY"), ("AWS_PROFILE", "profile .*nobody")]
)
def test_credentials_that_cannot_be_used_are_told_in_a_sentence(
    name: str, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(boto3, "DEFAULT_SESSION", None)
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY", raising=False)
    monkeypatch.setenv(name, "nobody")
    client.cache_clear()
    with pytest.raises(PlanError, match=f"S3 cannot be used with the AWS settings of this process: .*{said}"):
        client(Settings(), ())
