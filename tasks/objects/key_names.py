"""Key names: which names an object may have, so that none leads out of the store or is ambiguous."""

from __future__ import annotations

import re

from nightloop.tasks.plan.errors import PlanError

LONGEST = 512  # bytes; S3 allows 1024, a prefix needs room
_PART = re.compile(r"[A-Za-z0-9_=+][A-Za-z0-9_=+.-]*")  # a leading dot is reserved for the store


def checked_key(key: str) -> str:
    """The key itself. Raises PlanError if it is empty, too long, absolute, or holds anything but `a/b/c`."""
    if not 0 < len(key) <= LONGEST or not all(_PART.fullmatch(part) for part in key.split("/")):
        raise PlanError(
            f"{key[:80]!r}{'...' if len(key) > 80 else ''} ({len(key)} characters) is not a key of a store: use parts of "
            f"letters, digits and - _ . = + joined by /, no part beginning with a dot or dash, at most {LONGEST} in all"
        )
    return key


def checked_prefix(prefix: str) -> str:
    """A key, or one that ends with `/`, or an empty text (all keys). Raises PlanError as `checked_key` does."""
    if prefix:
        checked_key(prefix.removesuffix("/"))
    return prefix


def checked_pipeline(pipeline: str) -> str:
    """The pipeline's name itself. Raises PlanError if it is not lower-case letters, digits, - and _."""
    if not re.fullmatch(r"[a-z0-9][a-z0-9_-]{0,62}", pipeline):
        raise PlanError(
            f"{pipeline[:80]!r} is not a name of a pipeline; use lower-case letters, digits, - and _ (at most 63)"
        )
    return pipeline


def bucket_of(place: str) -> tuple[str, str] | None:
    """Bucket and prefix (empty, or ending with /) of s3://bucket/prefix; None for a directory. Raises PlanError for others."""
    scheme, slashes, rest = place.partition("://")
    if not slashes:
        return None
    bucket, _, prefix = rest.rstrip("/").partition("/")
    if scheme != "s3" or not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{1,254}", bucket):
        raise PlanError(f"the store {place[:200]!r} is neither a directory nor s3://bucket/prefix")
    return bucket, checked_key(prefix) + "/" if prefix else ""
