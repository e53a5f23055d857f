"""S3 client: the only module that imports boto3, which takes half a second that a local store does not need."""

from __future__ import annotations

import io
import time
from collections.abc import Callable, Mapping
from functools import cache, partial
from typing import TYPE_CHECKING, Any, BinaryIO, TypeVar

from nightloop.tasks.objects.errors import StoreFailure, error_of_answer, failure_of_connection, failure_of_response
from nightloop.tasks.objects.retry import answer_within, attempt_seconds
from nightloop.tasks.plan.errors import PlanError, StoreError
from nightloop.tasks.plan.settings import AWS_KEYS, Settings, aws_keys

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

T = TypeVar("T")


def usual_credentials() -> dict[str, str]:
    """S3 credentials as boto3 finds them by itself (environment, profiles, roles); empty if there are none."""
    import boto3

    session_credentials = boto3.Session().get_credentials()
    if session_credentials is None:
        return {}
    now = session_credentials.get_frozen_credentials()
    return aws_keys(now.access_key, now.secret_key, now.token)


@cache
def client(settings: Settings, credentials: tuple[tuple[str, str], ...]) -> S3Client:
    """A client for the S3 of the settings. `credentials`: pairs of names and values; empty: the usual chain."""
    import boto3
    from botocore.config import Config
    from botocore.exceptions import BotoCoreError

    # One attempt: `write_once` must see each. Many S3-like servers lack checksums in trailers; we verify SHA-256.
    config = Config(
        connect_timeout=5, read_timeout=30, max_pool_connections=32, retries={"total_max_attempts": 1},
        s3={"addressing_style": "path" if settings.s3_path_style else "auto"},
        request_checksum_calculation="when_required", response_checksum_validation="when_required",
    )  # fmt: skip
    key, secret, token = (dict(credentials).get(name) for name in AWS_KEYS)
    where = (settings.s3_region, None, True, None, settings.s3_endpoint or None)
    try:
        return boto3.client("s3", *where, key, secret, token, config)
    except BotoCoreError as error:  # a profile that is not there, half of the credentials
        raise PlanError(f"S3 cannot be used with the AWS settings of this process: {error}") from None


def open_object(
    settings: Settings, credentials: Mapping[str, str], url: str, span: tuple[int, int] | None = None
) -> BinaryIO:
    """An object of S3, `s3://bucket/key`, to be read once from its start; or a `span` of it: the first byte, and how many.

    Raises FileNotFoundError if there is none, else as `error_of_answer` says.

    While it is read: StoreError if the connection is cut, or so slow that it would block the reader.
    """
    bucket, _, key = url.removeprefix("s3://").partition("/")
    s3 = client(settings, tuple(sorted(credentials.items())))
    part = {"Range": f"bytes={span[0]}-{span[0] + span[1] - 1}"} if span else {}
    ask = partial(s3.get_object, Bucket=bucket, Key=key, **part)  # type: ignore[arg-type]
    answer, failure = attempt(partial(answer_within, attempt_seconds(0), ask))
    if failure is not None and failure.meaning == "absent":
        raise FileNotFoundError(f"no file {url[:200]!r}: deliver it, or change the source's `path` in the plan")
    if failure is not None and failure.meaning == "unsure":
        raise StoreError(f"{url} could not be read, the server does not answer ({failure.said}): run again later")
    if failure is not None:
        raise error_of_answer(failure, url)
    body: Any = answer["Body"]  # type: ignore[index]
    raw: Any = ObjectBody(body, url, attempt_seconds(answer.get("ContentLength", 0)))  # type: ignore[union-attr]
    raw.whole = int(answer.get("ContentRange", "/0").rpartition("/")[2])  # type: ignore[union-attr]
    return io.BufferedReader(raw, 1 << 20)


class ObjectBody:
    """The body of an answer as a raw stream, which may be waited for `seconds` in all."""

    def __init__(self, body: Any, url: str, seconds: float) -> None:
        self.body, self.url, self.seconds = body, url, seconds
        self.closed = self.failed = False
        self.whole = 0  # bytes of the object, if this is a span of it

    def readable(self) -> bool:
        """Yes."""
        return True

    def readinto(self, buffer: memoryview) -> int:
        """Read the next bytes. Raises StoreError if they do not come."""
        began = time.monotonic()
        piece, failure = attempt(partial(answer_within, self.seconds, partial(self.body.read, len(buffer))))
        self.seconds -= time.monotonic() - began
        if failure is not None or piece is None:
            self.failed, message = True, failure.said if failure else "no answer"
            raise StoreError(f"{self.url} was cut off while it was read, or came too slowly ({message}): run again")
        buffer[: len(piece)] = piece
        return len(piece)

    def flush(self) -> None:
        """Do nothing: nothing is written."""

    def close(self) -> None:
        """Close the connection; not after a failure: that would wait for the thread that still reads."""
        self.closed = True
        if not self.failed:
            self.body.close()


def attempt(ask: Callable[[], T], field: str = "") -> tuple[T | None, StoreFailure | None]:
    """The answer of `ask`, or the failure of S3 or of the connection.

    `field`: S3 has it in each such answer. An answer without it came from a proxy, whatever its status.
    """
    from botocore.exceptions import BotoCoreError, ClientError

    try:
        answer: Any = ask()
        if field and field not in answer:
            return None, failure_of_connection("NoField", f"an answer without {field}, which is not of an S3 server")
        return answer, None
    except ClientError as error:
        return None, failure_of_response(error.response, str(error))
    except (BotoCoreError, TimeoutError) as error:  # no answer, closed, timed out, no credentials
        return None, failure_of_connection(type(error).__name__, str(error))
