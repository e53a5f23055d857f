"""The two servers differ as documented: this is why the store is probed."""

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
