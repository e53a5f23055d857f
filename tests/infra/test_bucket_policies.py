"""The bucket policy against what nights, promotions and maintenance really ask of S3: it allows all that each role needs."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any, NamedTuple

import boto3
import pytest
import yaml

from nightloop.flows.maintain import maintain
from nightloop.tasks.objects import s3_client
from nightloop.tasks.objects.objects import open_for_reading
from nightloop.tasks.objects.s3_client import client
from nightloop.tasks.plan.settings import Settings
from nightloop.tasks.promote import promote_by_hand
from nightloop.tasks.record import promotion_log
from nightloop.tasks.report import publish
from nightloop.tasks.resources import open_store
from nightloop.tasks.serving.fresh_process import fork_server_of_process
from tests.flows.tiny_pipeline import WHEN, Tiny, begin, run
from tests.infra.deployment_files import INFRA
from tests.s3_servers import Server

POLICY: dict[str, Any] = json.loads((INFRA / "policies" / "bucket-policy.json").read_text())
ROLES: dict[str, Any] = json.loads((INFRA / "policies" / "roles.json").read_text())


class Request(NamedTuple):
    """A request to S3."""

    action: str
    key: str
    condition: str = ""  # if-none-match, if-match or none


def listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def matches(pattern: str, text: str) -> bool:
    """As IAM matches: a star stands for anything, slashes included."""
    return fnmatchcase(text, pattern.replace("[", "[[]"))


def holds(condition: dict[str, Any], role: str, request: Request) -> bool:
    """Whether all operators of a condition hold for a request over TLS."""
    known = {
        "aws:SecureTransport": "true",
        "aws:PrincipalArn": f"arn:aws:iam::ACCOUNT:role/{role}",
        **({"s3:ObjectCreationOperation": "true"} if request.action == "s3:PutObject" else {}),
        **({f"s3:{request.condition}": "*"} if request.condition else {}),
    }
    for operator, keys in condition.items():
        for key, wanted in keys.items():
            ok = {
                "Null": lambda k=key, w=wanted: (k not in known) == (w == "true"),
                "Bool": lambda k=key, w=wanted: known.get(k) == w,
                "ArnNotEquals": lambda k=key, w=wanted: known[k] not in listed(w),
            }[operator]()
            if not ok:
                return False
    return True


def applies(statement: dict[str, Any], role: str, request: Request) -> bool:
    """Whether a statement is about this request."""
    resource = "arn:aws:s3:::BUCKET" + (f"/{request.key}" if request.action != "s3:ListBucket" else "")
    if not any(matches(action, request.action) for action in listed(statement["Action"])):
        return False
    if "NotResource" in statement and any(matches(one, resource) for one in listed(statement["NotResource"])):
        return False
    if "Resource" in statement and not any(matches(one, resource) for one in listed(statement["Resource"])):
        return False
    return holds(statement.get("Condition", {}), role, request)


def allowed(role: str, request: Request) -> bool:
    """Whether a role may do this: its own policy allows it, and the bucket's does not deny it."""
    denied = any(s["Effect"] == "Deny" and applies(s, role, request) for s in POLICY["Statement"])
    return not denied and any(s["Effect"] == "Allow" and applies(s, role, request) for s in ROLES[role]["Statement"])


@pytest.fixture
def requests(
    tmp_path_factory: pytest.TempPathFactory, moto: Server, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> Iterator[Callable[[], list[Request]]]:
    """A store on S3; a call returns what was asked of it since the last call."""
    begin(tmp_path_factory, monkeypatch, 1, 2)  # delivers the days; its store stays on disk
    bucket, made = moto.bucket(), list[Request]()
    monkeypatch.setattr(boto3, "DEFAULT_SESSION", None)
    for name, value in {
        "NIGHTLOOP_HOME": str(tmp_path),
        "NIGHTLOOP_STORE": f"{bucket}/store",
        "NIGHTLOOP_S3_ENDPOINT": moto.endpoint,
        "NIGHTLOOP_S3_PATH_STYLE": "true",
        "AWS_ACCESS_KEY_ID": moto.access,
        "AWS_SECRET_ACCESS_KEY": moto.secret,
    }.items():
        monkeypatch.setenv(name, value)
    actions = {"PutObject": "s3:PutObject", "GetObject": "s3:GetObject", "DeleteObject": "s3:DeleteObject", "ListObjectsV2": "s3:ListBucket"}

    def note(params: dict[str, Any], model: Any, **_: Any) -> None:
        conditions = [name for name in ("If-None-Match", "If-Match") if name in params["headers"]]
        key = params["url_path"].removeprefix("/").removeprefix(bucket.removeprefix("s3://")).removeprefix("/")
        made.append(Request(actions[model.name], key, conditions[0].lower() if conditions else ""))

    client.cache_clear()
    settings = Settings()
    s3_client.client(settings, tuple(sorted({}.items()))).meta.events.register("before-call.s3", note)
    fork_server_of_process().close()

    def since() -> list[Request]:
        found, made[:] = list(made), []
        return found

    yield since
    client.cache_clear()
    fork_server_of_process().close()


@pytest.fixture
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Tiny:
    place = tmp_path_factory.getbasetemp() / "tiny"
    return Tiny(place, place / "tiny.yaml")


def refused(role: str, requests: list[Request]) -> list[Request]:
    return sorted({request for request in requests if not allowed(role, request)})


def test_each_role_may_do_what_it_does_and_no_worker_moves_a_champion(
    requests: Callable[[], list[Request]], tiny: Tiny
) -> None:
    plan = yaml.safe_load(tiny.path.read_text())
    tiny.path.write_text(yaml.safe_dump({**plan, "gate": {**plan["gate"], "require_approval": True}}, sort_keys=False))
    open_store()
    run(tiny, 1, 2, 3)
    publish(tiny.plan)
    nights = requests()
    assert {r.action for r in nights} >= {"s3:PutObject", "s3:GetObject", "s3:DeleteObject", "s3:ListBucket"}
    assert refused("nightloop-train", nights) == []
    promote_by_hand(tiny.plan, "tuned", "", "", ("a trial", True), WHEN, None)
    acts = requests()
    assert refused("nightloop-promote", acts) == []
    assert {request.key.rpartition("/")[2] for request in refused("nightloop-train", acts)} == {"00000001.json", "champion.json"}
    maintain(str(tiny.path), grace_days=0)
    maintain(str(tiny.path), grace_days=0)
    kept = requests()
    assert refused("nightloop-maintain", kept) == []
    objects = open_for_reading(Settings())
    assert promotion_log.read_champion(objects, "tiny") is not None
    assert refused("nightloop-serve", [r for r in requests() if r.action != "s3:ListBucket"]) == []


@pytest.mark.parametrize("role", ROLES)
@pytest.mark.parametrize(
    ("action", "key", "condition"),
    [
        ("s3:PutObject", "store/blobs/0", ""),
        ("s3:PutObject", "store/pipelines/shop/nights/000001/0001.json", "if-match"),
        ("s3:PutObject", "store/pipelines/shop/log/00000001.json", "if-match"),
        ("s3:PutObject", "store/store-id.json", "if-match"),
        ("s3:DeleteObjectVersion", "store/blobs/0", ""),
        ("s3:PutBucketPolicy", "", ""),
    ],
)
def test_what_no_role_may_do(role: str, action: str, key: str, condition: str) -> None:
    assert not allowed(role, Request(action, key, condition))


def test_who_may_delete_and_promote() -> None:
    def roles(action: str, key: str, condition: str = "") -> set[str]:
        return {role.removeprefix("nightloop-") for role in ROLES if allowed(role, Request(action, key, condition))}

    assert roles("s3:DeleteObject", "store/blobs/0") == {"maintain"}
    assert roles("s3:PutObject", "store/pipelines/shop/champion.json", "if-match") == {"promote"}
    assert roles("s3:PutObject", "store/pipelines/shop/nights/000001/0001.json", "if-none-match") >= {"train"}
    assert roles("s3:PutObject", "store/pipelines/shop/serving/server.memory", "if-match") >= {"serve"}
    assert "serve" not in roles("s3:PutObject", "store/blobs/0", "if-none-match")
