"""Store errors: what an error or a time-out of a disk or an S3 server means, and what to do."""

from __future__ import annotations

import errno
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Literal, NamedTuple

from nightloop.tasks.plan.errors import PlanError, StoreError

_DENIED = ("AccessDenied", "InvalidAccessKeyId", "SignatureDoesNotMatch", "ExpiredToken", "InvalidToken", "Forbidden")
_FULL = ("InsufficientStorage", "QuotaExceeded", "XMinioStorageFull", "EntityTooLarge")
_BUSY = ("RequestTimeout", "SlowDown", "Throttling", "ThrottlingException", "InternalError", "ServiceUnavailable")
_NO_KEYS = ("NoCredentialsError", "PartialCredentialsError")


class StoreFailure(NamedTuple):
    """An attempt that did not succeed.

    `lost`: another writer was first (412). `absent`: S3 says that there is no such key; a proxy whose server is away also
    answers 404, and that is `unsure`. `again`: two writers at once, nothing was done (409). `unsure`: it may have been
    done. `refused`: a retry is of no use.
    """

    meaning: Literal["lost", "absent", "again", "unsure", "refused"]
    repeated: bool  # the client sent it more than once by itself: an earlier attempt may have been done
    status: int
    code: str
    said: str


def failure_of_response(response: Mapping[str, object], message: str) -> StoreFailure:
    """The failure in boto3's `error.response`."""
    meta, error = response.get("ResponseMetadata"), response.get("Error")
    status = int(meta.get("HTTPStatusCode", 0)) if isinstance(meta, Mapping) else 0
    repeated = bool(meta.get("RetryAttempts", 0)) if isinstance(meta, Mapping) else False
    code = str(error.get("Code", "")) if isinstance(error, Mapping) else ""
    return StoreFailure(_classify(status, code), repeated, status, code, message)


def failure_of_connection(kind: str, message: str) -> StoreFailure:
    """The failure behind an error of the connection, by the name of its class: closed, timed out, no answer, no credentials."""
    return StoreFailure(
        "refused" if kind in _NO_KEYS else "unsure", False, 401 if kind in _NO_KEYS else 0, kind, message
    )


def _classify(status: int, code: str) -> Literal["lost", "absent", "again", "unsure", "refused"]:
    if status == 412 or code == "PreconditionFailed":
        return "lost"
    if status == 409 or code in ("ConditionalRequestConflict", "OperationAborted"):
        return "again"
    if code in _BUSY or status == 429 or (status >= 500 and code not in _FULL and status not in (501, 507)):
        return "unsure"
    if status == 404 and code != "NoSuchBucket":
        return "absent" if code == "NoSuchKey" else "unsure"
    return "refused"


def error_of_answer(failure: StoreFailure, place: str) -> OSError | PlanError:
    """The exception to raise for a final answer: PermissionError, FileNotFoundError, PlanError or StoreError."""
    status, code, message = failure.status, failure.code, failure.said
    if code == "NoSuchBucket":
        return FileNotFoundError(f"there is no bucket for {place}; create it, or correct NIGHTLOOP_STORE ({message})")
    if code in _NO_KEYS:
        return PermissionError(
            f"no credentials for {place}; set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY ({message})"
        )
    if code in _DENIED or status in (401, 403):
        needs = "s3:GetObject, s3:PutObject, s3:DeleteObject and s3:ListBucket"
        return PermissionError(f"{place} refuses these credentials; they need {needs} ({message})")
    if code in _FULL or status == 507:
        return StoreError(f"{place} is full; no part of the object was written; free space and run again ({message})")
    if status == 501 or code == "NotImplemented":
        return PlanError(f"{place} does not support conditional writes; use a store that does ({message})")
    return StoreError(f"{place} answered {status} {code} ({message})")


@contextmanager
def explain_disk_errors(path: Path) -> Iterator[None]:
    """Add the store's path and advice to errors of a disk: PermissionError and OSError."""
    try:
        yield
    except OSError as error:
        if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
            hint = f"the store {path} may not be written, or its file system has no hard links ({error.strerror})"
            raise PermissionError(error.errno, hint) from error
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            hint = f"the store {path} is full ({error.strerror}); no part of the object was written; free space and run again"
            raise OSError(error.errno, hint) from error
        raise
