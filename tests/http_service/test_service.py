"""The HTTP service: answers, labels, a new champion between two requests, records, and bad input that harms nothing."""

from __future__ import annotations

import fcntl
import json
import logging
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from nightloop.tasks.objects.objects import Directory
from nightloop.tasks.plan.errors import StoreError
from nightloop.tasks.plan.plan import Plan
from nightloop.tasks.serving.pending_labels import RecordedRequest, ScoreRequest
from nightloop.tasks.serving.predictor import Predictor
from nightloop.tasks.serving.record_copies import RecordCopies
from nightloop.tasks.serving.serving_log import ServingLog
from nightloop.tasks.serving.snapshot import snapshot_key
from tests.serving import make_store as made
from tests.serving.test_observe import FULL, plan

pytest.importorskip("prometheus_client")
fastapi = pytest.importorskip("fastapi.testclient")

from nightloop.tasks.http_service.app import ServiceContext, service  # noqa: E402

HOUSE = Path(__file__).parents[2]
CONTEXT = {"device": "d1", "age": 0.5}
GOOD = {"user": "u1", "items": ["i3", "i4", "never seen"], "features": CONTEXT}


class Place:
    """A store with a champion, and a service over it whose clock stands where a test puts it."""

    def __init__(self, path: Path, order: Plan | None = None) -> None:
        self.path, self.order = path, order or plan()
        self.objects, _ = made.store(path / "store", self.order)
        self.now = datetime(2026, 1, 2, 23, 59, 59, tzinfo=UTC)
        self.desk = self.opened()

    def opened(self) -> ServiceContext:
        predictor = Predictor.open(self.objects, "books")
        records = ServingLog(self.path / "records", self.order)
        return ServiceContext(predictor, "books", lambda: self.now, records, every=0.05)

    def lines(self, name: str) -> list[dict[str, Any]]:
        if self.desk.records:
            self.desk.records.flush()
        path = self.path / "records" / name
        return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


@pytest.fixture
def client(place: Place) -> Iterator[Any]:
    with fastapi.TestClient(service(place.desk, body=200_000), raise_server_exceptions=False) as found:
        yield found


def test_a_number_that_is_missing_is_nought_as_in_training(client: Any) -> None:
    def told(age: object) -> Any:
        return client.post("/score", json={**GOOD, "features": {**CONTEXT, "age": age}}).json()["scores"]

    assert told(None) == told(0) != told(0.5) and told([0.5, None, 0]) == [told(0.5)[0], *told(0)[1:]]


def test_scores_are_the_predictors_and_labels_move_them(place: Place, client: Any) -> None:
    told = client.post("/score", json={**GOOD, "request": "r1"})
    expected = Predictor.open(place.objects, "books").score(["u1"] * 3, GOOD["items"], CONTEXT)  # type: ignore[arg-type]
    assert told.status_code == 200 and told.json()["scores"] == pytest.approx(expected)
    assert told.json()["request"] == "r1" and told.json()["version"] == place.desk.predictor.now.name
    learned = client.post("/observe", json={"observations": [{"request": "r1", "labels": [1, True, None]}]})
    assert learned.status_code == 200 and learned.json() == {"learned": 2, "examples": {}}
    assert client.post("/score", json=GOOD).json()["scores"] != pytest.approx(expected)


def test_recommends_and_learns_from_what_it_recommended(client: Any) -> None:
    told = client.post("/recommend", json={"user": "u2", "k": 3, "exclude": ["i1"], "features": CONTEXT}).json()
    again = client.post("/score", json={"user": "u2", "items": told["items"], "features": CONTEXT}).json()
    assert told["scores"] == pytest.approx(again["scores"]) == sorted(told["scores"], reverse=True)
    assert len(told["items"]) == 3 and "i1" not in told["items"]
    learned = client.post("/observe", json={"observations": [{"request": told["request"], "labels": [0, 0, 1]}]})
    assert learned.json()["learned"] == 3


def test_a_ranking_champion_is_served_too(tmp_path: Path) -> None:
    place = Place(tmp_path, made.ranking_plan())
    with fastapi.TestClient(service(place.desk)) as client:
        told = client.post("/recommend", json={"user": "u2", "k": 4}).json()
        assert told["items"] == [item for item, _ in place.desk.predictor.recommend("u2", 4)]
        refused = client.post("/observe", json={"observations": [{"request": told["request"], "labels": [1] * 4}]})
        assert refused.status_code == 422 and "ranking model" in refused.json()["error"]


def test_records_hold_what_was_served_by_day_and_what_came_of_it(place: Place, client: Any) -> None:
    client.post("/score", json={**GOOD, "request": "late"})
    served = place.lines("served/2026-01-02.jsonl")
    common = {
        "t": "2026-01-02T23:59:59+00:00", "u": "u1", "device": "d1", "age": 0.5, "request": "late",
        "version": place.desk.predictor.now.name,
    }  # fmt: skip
    scores = served[0]["prediction"]
    assert served == [{**common, "i": GOOD["items"], "prediction": scores, "base": scores}] and len(scores) == 3
    place.now = datetime(2026, 1, 3, 0, 0, 1, tzinfo=UTC)
    client.post("/score", json=GOOD)
    client.post("/observe", json={"observations": [{"request": "late", "labels": [0, 1, None]}]})
    assert len(place.lines("served/2026-01-03.jsonl")) == 1 and not place.lines("labelled/2026-01-03.jsonl")
    labelled = place.lines("labelled/2026-01-02.jsonl")
    assert labelled == [
        {**common, "i": item, "place": n, "y": n, "prediction": scores[n], "base": scores[n]}
        for n, item in enumerate(("i3", "i4"))
    ]


def test_labels_are_recorded_for_as_long_as_the_service_runs(place: Place) -> None:
    """Files of a few days are open at a time; the one that is written to is never among those that are closed."""
    days = [f"2026-01-{day:02d}" for day in range(1, 12)]
    records = place.desk.records
    for day in days:
        for kind in ("served", "labelled", "served"):
            records._write(kind, f"{day}T10:00:00+00:00", [{"kind": kind}])
        records._write("labelled", f"{days[0]}T10:00:00+00:00", [{"kind": "late"}])
    for file in records._open.values():
        file.flush()
    root = place.path / "records"
    assert [len((root / "labelled" / f"{day}.jsonl").read_text().splitlines()) for day in days] == [12] + [1] * 10
    assert [len((root / "served" / f"{day}.jsonl").read_text().splitlines()) for day in days] == [2] * 11


@pytest.mark.parametrize("path", ["/score", "/recommend", "/observe"])
def test_a_body_of_many_unknown_fields_is_refused_in_one_sentence(client: Any, path: str) -> None:
    answer = client.post(path, json={f"field{n}": 1 for n in range(5_000)})
    assert answer.status_code == 422 and "there is no field" in answer.json()["error"]
    assert "and 4,997 more" in answer.json()["error"]


def test_values_of_each_row_are_recorded_with_their_row(place: Place, client: Any) -> None:
    client.post("/score", json={**GOOD, "features": {"device": ["d0", None, "d2"], "age": 1}, "request": "r"})
    client.post("/observe", json={"observations": [{"request": "r", "labels": [0, 1, 0]}]})
    (served,), labelled = place.lines("served/2026-01-02.jsonl"), place.lines("labelled/2026-01-02.jsonl")
    assert served["device"] == ["d0", None, "d2"] == [row["device"] for row in labelled]
    assert served["age"] == 1 and [row["age"] for row in labelled] == [1, 1, 1]


def test_a_small_request_does_not_become_a_large_record(place: Place) -> None:
    """52 kB became 17 MB: every row was written with all that the rows have in common."""
    body = {"user": "u1", "items": ["i3"] * 9_000, "features": {**CONTEXT, "device": "d" * 400}, "request": "r"}
    with fastapi.TestClient(service(place.desk)) as client:
        assert client.post("/score", json=body).status_code == 200
        place.lines("served/2026-01-02.jsonl")
        written = (place.path / "records" / "served" / "2026-01-02.jsonl").stat().st_size
        assert written < 12 * len(json.dumps(body))
        told = client.post("/score", json={**body, "features": {**CONTEXT, "device": "d" * 500}})
        assert told.status_code == 422 and "send fewer items a call" in told.json()["error"]
        told = client.post("/score", json={**body, "request": "r" * 200})  # the id is on every row as well
        assert told.status_code == 422 and "the request's id" in told.json()["error"]


def test_records_that_have_grown_too_large_grow_no_more_until_there_is_room(place: Place) -> None:
    place.desk.records = ServingLog(place.path / "records", place.order, most=2_000)
    with fastapi.TestClient(service(place.desk)) as client:
        for number in range(20):
            assert client.post("/score", json={**GOOD, "request": f"r{number}"}).status_code == 200
        for _ in range(3):  # also after the records were looked at again
            told = client.get("/health").json()
            assert told["status"] == "degraded" and "of at most 2,000 (NIGHTLOOP_RECORDS)" in told["problem"]
            time.sleep(0.06)
        path = place.path / "records" / "served" / "2026-01-02.jsonl"
        assert path.stat().st_size < 5_000, "twenty would be more; one batch may have been under way"
        path.write_bytes(b"")
        wait_for(client, lambda found: found["status"] == "ok")
        client.post("/score", json={**GOOD, "request": "again"})
        wait_for(client, lambda found: path.stat().st_size > 0)


def test_half_a_line_that_a_crash_left_costs_no_other_line(place: Place) -> None:
    path = place.path / "records" / "served" / "2026-01-02.jsonl"
    path.parent.mkdir(parents=True)
    path.write_bytes(b'{"request": "whole"}\n{"request": "ha')
    for request in ("r1", "r2"):
        with fastapi.TestClient(service(place.opened())) as client:
            assert client.post("/score", json={**GOOD, "request": request}).status_code == 200
    lines = path.read_bytes().splitlines()
    assert lines[1] == b'{"request": "ha' and [json.loads(lines[n])["request"] for n in (0, 2, 3)] == [
        "whole",
        "r1",
        "r2",
    ]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b'{"user": "u1", "user": "u2", "items": ["i3"], "features": {"device": "d1", "age": 1}}', "the key 'user' is given twice"),
        (b'{"user": "u1", "items": ["i3"], "features": {"age": 1, "device": "d1", "age": 2}}', "the key 'age' is given twice"),
        (b'{"user": "u1", "items": ["i3"], "features": {"device": "d1", "age": ' + b"1" * 5000 + b"}}", "too many digits"),
        (b"[" * 90_000, "nested too deeply"),
    ],
)  # fmt: skip
def test_json_that_could_mean_two_things_or_nothing_is_refused(client: Any, content: bytes, said: str) -> None:
    told = client.post("/score", content=content, headers={"content-type": "application/json"})
    assert told.status_code == 422 and said in told.json()["error"], told.text


def test_pages_that_load_scripts_from_elsewhere_are_not_served(client: Any) -> None:
    assert {client.get(path).status_code for path in ("/docs", "/redoc", "/docs/oauth2-redirect")} == {404}
    described = client.get("/openapi.json").json()
    assert set(described["paths"]) == {"/score", "/recommend", "/observe", "/health", "/metrics"}
    assert "http" not in json.dumps(described["paths"])


def test_answers_have_the_fields_that_the_description_names(client: Any) -> None:
    described = client.get("/openapi.json").json()
    answered = {
        "/score": client.post("/score", json={**GOOD, "request": "r"}),
        "/recommend": client.post("/recommend", json={"user": "u1", "features": GOOD["features"]}),
        "/observe": client.post("/observe", json={"observations": [{"request": "r", "labels": [0, 1, None]}]}),
        "/health": client.get("/health"),
    }
    for path, answer in answered.items():
        (does,) = described["paths"][path].values()
        schema = does["responses"]["200"]["content"]["application/json"]["schema"]["$ref"].rsplit("/", 1)[-1]
        fields = described["components"]["schemas"][schema]
        assert answer.status_code == 200 and set(answer.json()) <= set(fields["properties"]), path
        assert set(fields.get("required", [])) <= set(answer.json()), path
    refused = client.post("/score", json={})
    does = described["paths"]["/score"]["post"]["responses"][str(refused.status_code)]
    assert does["content"]["application/json"]["schema"]["$ref"].endswith("/Refusal") and set(refused.json()) == {
        "error"
    }


def test_the_next_night_collects_what_was_served_and_labelled(place: Place, client: Any, tmp_path: Path) -> None:
    from nightloop.tasks.lake.periods import Period
    from nightloop.tasks.lake.warehouse import Warehouse
    from nightloop.tasks.plan.settings import Settings
    from nightloop.tasks.sources.files import Files

    client.post("/score", json={**GOOD, "request": "r"})
    client.post("/observe", json={"observations": [{"request": "r", "labels": [0, 1, 0]}]})
    place.lines("labelled/2026-01-02.jsonl")
    start = int(datetime(2026, 1, 2, tzinfo=UTC).timestamp()) * 1_000_000
    period = Period(0, "2026-01-02", start, start + 86_400 * 1_000_000)
    with Warehouse.open(Settings(home=tmp_path / "lake"), "books") as warehouse:
        source = Files(path=f"{tmp_path}/records/labelled/{{period}}.jsonl")
        rows = [row for batch in source.batches(warehouse, period, place.order.columns) for row in batch.to_pylist()]
    assert [(row["u"], row["i"], str(row["y"])) for row in rows] == [
        ("u1", "i3", "0"),
        ("u1", "i4", "1"),
        ("u1", "never seen", "0"),
    ]


BAD: list[tuple[str, object, int, str]] = [
    ("/score", {**GOOD, "features": {"device": "d1", "age": float("nan")}}, 422, "NaN or infinity"),
    ("/score", {**GOOD, "features": {"device": "d1", "age": float("inf")}}, 422, "NaN or infinity"),
    ("/score", {**GOOD, "features": {"device": "d1", "age": "old"}}, 422, "age must be numbers"),
    ("/score", {**GOOD, "features": {"device": "d1"}}, 422, "needs exactly ['age', 'device']"),
    ("/score", {**GOOD, "features": {**CONTEXT, "colour": "red"}}, 422, "needs exactly ['age', 'device']"),
    ("/score", {**GOOD, "features": {"device": ["d1"], "age": 1}}, 422, "device has 1 values for 3 rows"),
    ("/score", {"user": "u1", "features": CONTEXT}, 422, "items: Field required"),
    ("/score", {**GOOD, "items": []}, 422, "items"),
    ("/score", {**GOOD, "items": [{"a": 1}]}, 422, "items.0: Input should be a valid string, or "),
    ("/score", {**GOOD, "usr": 1}, 422, "there is no field 'usr'; there are user"),
    ("/score", {**GOOD, "pipeline": "films"}, 404, "answers for books, not for 'films'"),
    ("/score", {**GOOD, "request": "served"}, 422, "'served' was served already"),
    ("/score", {**GOOD, "items": ["i"] * 60_000}, 413, "larger than 200,000 bytes"),
    ("/score", {**GOOD, "features": {"device": "d1", "age": 10**400}}, 422, "features.age: "),
    ("/recommend", {"user": "u1", "features": {"device": "d1", "age": 10**400}}, 422, "features.age: "),
    ("/score", {**GOOD, "user": "\ud800"}, 422, "user: Input should be a valid string"),
    ("/score", {**GOOD, "items": ["i1", "\ud800"]}, 422, "items.1: Input should be a valid string"),
    ("/score", {**GOOD, "features": {**CONTEXT, "device": "\ud800"}}, 422, "features.device: Input should be"),
    ("/score", {**GOOD, "request": "\ud800"}, 422, "request: Input should be a valid string"),
    ("/observe", {"observations": [{"request": "\ud800", "labels": [1]}]}, 422, "request: Input should be a valid string"),
    ("/score", "words", 422, "send a JSON object"),
    ("/score/", GOOD, 404, "there is no /score/; there are /score, /recommend"),
    ("/health", {}, 405, "Method Not Allowed"),
    ("/recommend", {"user": "u1", "k": 0, "features": CONTEXT}, 422, "k: "),
    ("/observe", {"observations": []}, 422, "observations"),
    ("/observe", {"observations": [{"request": "served", "labels": [1, 2, 0]}]}, 422, "allowed are 0, 1 and null"),
    ("/observe", {"observations": [{"request": "served", "labels": ["1", 0, 0]}]}, 422, "labels.0"),
    ("/observe", {"observations": [{"request": "served", "labels": [float("nan"), 0, 0]}]}, 422, "allowed are 0, 1"),
    ("/observe", {"observations": [{"request": "served", "labels": [1]}]}, 422, "1 labels for 3 rows"),
    ("/observe", {"observations": [{"request": "nobody's", "labels": [1]}]}, 409, "was never served here"),
    ("/observe", {"observations": [{"request": "done", "labels": [1, 0, 0]}]}, 409, "has these labels already"),
    ("/observe", {"observations": [{"request": "done", "labels": [0, 1, 1]}]}, 409, "has other labels already"),
    ("/observe", {"observations": [{"request": "r", "labels": [1]}] * 100_000}, 413, "larger than"),
    ("/observe", {"observations": [{"request": "r", "labels": []}] * 10_001}, 413, "larger than"),
    ("/score", {**GOOD, "user": "u" * 1001}, 422, "user: String should have at most 1000 characters"),
    ("/score", {**GOOD, "items": ["i" * 1001]}, 422, "at most 1000 characters"),
    ("/score", {**GOOD, "user": 10**40}, 422, "at most 40 digits"),
    ("/score", {**GOOD, "items": [1, -(10**4000)]}, 422, "at most 40 digits"),
    ("/score", {**GOOD, "features": {**CONTEXT, "device": 10**4000}}, 422, "at most 40 digits"),
    ("/recommend", {"user": 10**4000, "features": CONTEXT}, 422, "at most 40 digits"),
    ("/score", {**GOOD, "items": ["i"] * 2000, "features": {**CONTEXT, "device": "d" * 10_000}}, 422, "fewer items"),
    ("/recommend", {"user": "u1", "k": 1000, "features": {**CONTEXT, "device": "d" * 20_000}}, 422, "fewer items"),
    ("/score", {**GOOD, "features": {str(n): 1 for n in range(1001)}}, 422, "a call has at most 1,000"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/score", {**GOOD, "items": [{}] * 9000}),
        ("/score", {**GOOD, "features": {**CONTEXT, "device": [[]] * 9000}}),
        ("/observe", {"observations": [{"request": "r", "labels": ["a"] * 9000}, {"request": "s", "labels": ["a"]}]}),
        ("/observe", {"observations": [{"request": str(n), "label": [1]} for n in range(2000)]}),
    ],
)
def test_of_many_mistakes_in_a_list_the_first_is_named_alone(client: Any, path: str, body: object) -> None:
    """A sentence for each of the two million that fit into a body took a minute and seven gigabytes."""
    told = client.post(path, json=body)
    assert told.status_code == 422 and len(told.json()["error"]) < 400, told.text


@pytest.mark.parametrize(("path", "body", "status", "said"), BAD)
def test_bad_input_is_refused_in_words_and_changes_nothing(
    client: Any, path: str, body: object, status: int, said: str
) -> None:
    for request in ("served", "done"):
        client.post("/score", json={**GOOD, "request": request})
    client.post("/observe", json={"observations": [{"request": "done", "labels": [1, 0, 0]}]})
    before = client.post("/score", json=GOOD).json()["scores"]
    told = client.post(path, content=json.dumps(body), headers={"content-type": "application/json"})
    assert told.status_code == status and said in told.json()["error"], told.text
    assert client.post("/score", json=GOOD).json()["scores"] == before
    learned = client.post("/observe", json={"observations": [{"request": "served", "labels": [1, 0, 0]}]})
    assert learned.json()["learned"] == 3


@pytest.mark.parametrize("content", [b"", b"{", b"\xff\xfe", b"[1, 2", b'{"user": 1e999}', b"null"])
def test_what_is_no_json_is_refused(client: Any, content: bytes) -> None:
    told = client.post("/score", content=content, headers={"content-type": "application/json"})
    assert told.status_code in (400, 422) and told.json(), told.text


@pytest.mark.parametrize("error", [KeyError("table.user"), ValueError("shape"), RuntimeError("mat1"), OSError("disk")])
def test_a_fault_of_the_code_is_no_mistake_of_the_caller(
    place: Place, client: Any, error: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*given: object) -> object:
        raise error

    with monkeypatch.context() as patch:
        patch.setattr("nightloop.tasks.serving.online_learning.Learning.correct", broken)
        for path, body in (("/score", GOOD), ("/recommend", {"user": "u1", "features": CONTEXT})):
            told = client.post(path, json=body)
            assert told.status_code == 500 and told.json() == {
                "error": "the service failed to answer; its log says why"
            }
    assert client.post("/score", json=GOOD).status_code == 200
    assert 'path="/score",status="500"} 1.0' in client.get("/metrics").text


def test_too_many_observations_are_refused_by_number(place: Place) -> None:
    with fastapi.TestClient(service(place.desk)) as client:
        told = client.post("/observe", json={"observations": [{"request": "r", "labels": []}] * 10_001})
        assert told.status_code == 422 and "at most 10000" in told.json()["error"]


def test_a_body_whose_length_is_not_told_is_cut_off_too(client: Any) -> None:
    told = client.post("/score", content=(b" " * 50_000 for _ in range(5)))
    assert told.status_code == 413


@pytest.mark.parametrize("device", ["toaster", None, "", "x" * 10_000])
def test_an_unknown_category_has_a_defined_score(client: Any, device: object) -> None:
    told = client.post("/score", json={**GOOD, "user": "nobody", "features": {"device": device, "age": 1}})
    assert told.status_code == 200 and all(0 < score < 1 for score in told.json()["scores"])


def test_health_and_metrics_tell_what_serves(client: Any, place: Place) -> None:
    client.post("/score", json={**GOOD, "request": "r"})
    client.post("/observe", json={"observations": [{"request": "r", "labels": [1, 0, None]}]})
    assert client.get("/health").json()["status"] == "ok"
    text = client.get("/metrics").text
    expected = (
        'nightloop_request_seconds_count{path="/score",status="200"} 1.0',
        'nightloop_labels_total{outcome="learned"} 2.0',
        "nightloop_degraded 0.0",
        "nightloop_champion 1.0",
        "nightloop_book_rows 3.0",
        'nightloop_reloop2_lambda{corrector="memory"} 0.5',
    )
    assert [line for line in expected if line not in text] == [], text


def test_what_cannot_be_recorded_is_served_all_the_same_and_operators_are_told(place: Place, client: Any) -> None:
    full = place.path / "records" / "served" / "2026-01-02.jsonl"
    full.parent.mkdir(parents=True)
    full.symlink_to("/dev/full")
    for number in range(60):  # more than a buffer holds
        assert client.post("/score", json={**GOOD, "request": f"r{number}"}).status_code == 200
    told = wait_for(client, lambda found: found["status"] == "degraded")
    assert "cannot be recorded" in told["problem"] and "No space left" in told["problem"]
    metrics = client.get("/metrics").text
    assert "nightloop_degraded 1.0" in metrics and "nightloop_unrecorded_total 0.0" not in metrics
    full.unlink()
    place.now = datetime(2026, 1, 3, 0, 0, 1, tzinfo=UTC)
    client.post("/score", json=GOOD)
    assert len(place.desk.records._open) == 2 if place.desk.records else False


@pytest.mark.parametrize("body", [b"", b"{", b"\xff{}", json.dumps(GOOD).encode()])
def test_what_is_no_json_object_is_told_what_to_send(client: Any, body: bytes) -> None:
    told = client.post(
        "/score", content=body, headers={"content-type": "text/plain" if len(body) > 9 else "application/json"}
    )
    assert told.status_code in (400, 422) and "send a JSON object" in told.json()["error"], told.text


def wait_for(client: Any, what: Any) -> dict[str, Any]:
    for _ in range(200):
        found: dict[str, Any] = client.get("/health").json()
        if what(found):
            return found
        time.sleep(0.05)
    raise AssertionError(f"it never came about: {found}")


def test_labelled_rows_go_to_the_store_and_operators_are_told_while_they_cannot(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    place.desk.copies, place.desk.save_every = RecordCopies(place.objects, "books", place.path / "records"), 0.05
    with fastapi.TestClient(service(place.desk)) as client:
        with monkeypatch.context() as broken:
            broken.setattr(type(place.objects), "create", lambda *_: (_ for _ in ()).throw(StoreError("no answer")))
            client.post("/score", json={**GOOD, "request": "r"})
            client.post("/observe", json={"observations": [{"request": "r", "labels": [1, 0, None]}]})
            told = wait_for(client, lambda found: found["status"] == "degraded")
            assert "cannot be copied to the store: no answer" in told["problem"]
        wait_for(client, lambda found: found["status"] == "ok")
        client.post("/observe", json={"observations": [{"request": "r", "labels": [1, 0, 1]}]})
    with (place.path / "records/labelled/.copies").open() as lock:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)  # another server of this home may go on
    copies = [place.objects.read(key) for key in sorted(place.objects.keys("pipelines/books/serving/labelled"))]
    assert (
        b"".join(copy[0] for copy in copies if copy) == (place.path / "records/labelled/2026-01-02.jsonl").read_bytes()
    )


def test_what_was_learned_is_saved_before_rows_are_copied(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """Copying takes long if the store is slow; a server that is ended meanwhile has lost nothing that it learned."""
    order: list[str] = []
    place.desk.copies = RecordCopies(place.objects, "books", place.path / "records")
    monkeypatch.setattr(place.desk.copies, "send", lambda seconds: order.append("copy"))
    monkeypatch.setattr(place.desk.predictor, "save", lambda server: order.append("save"))
    with fastapi.TestClient(service(place.desk)):
        pass
    assert order == ["save", "copy"]


def test_a_new_champion_is_taken_over_and_one_that_does_not_load_leaves_the_old_serving(
    place: Place, client: Any, caplog: pytest.LogCaptureFixture
) -> None:
    before = client.get("/health").json()
    made.promote(place.objects, made.night(place.objects, place.order, 1, seed=9), expect=1)
    second = wait_for(client, lambda found: found["champion"] == 2)
    assert second["version"] != before["version"] and second["status"] == "ok"
    third = made.night(place.objects, place.order, 2, seed=8)
    made.damage(place.path / "store", third.checkpoints["FineTune"].weights, b"rubbish")
    with caplog.at_level(logging.ERROR):
        point_at(place.objects, third)
        found = wait_for(client, lambda found: found["status"] == "degraded")
    assert found["champion"] == 2 and "It is not used" in found["problem"] and "does not load" in caplog.text
    assert client.post("/score", json=GOOD).status_code == 200


def point_at(objects: Directory, manifest: Any) -> None:
    """Promote a candidate whose weights are damaged, which the registry would refuse: they were whole at that moment."""
    from nightloop.tasks.record import promotion_log

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(promotion_log, "_check_blobs", lambda *_: None)
        patch.setattr(promotion_log, "_refuse_unfit", lambda *_: None)
        made.promote(objects, manifest, expect=2)


def test_what_was_learned_survives_a_restart(place: Place) -> None:
    with fastapi.TestClient(service(place.desk)) as client:
        client.post("/score", json={**GOOD, "request": "r"})
        client.post("/score", json={**GOOD, "request": "late"})
        client.post("/observe", json={"observations": [{"request": "r", "labels": [1, 1, 1]}]})
        before = client.post("/score", json=GOOD).json()["scores"]
    with fastapi.TestClient(service(place.opened())) as client:
        assert client.post("/score", json=GOOD).json()["scores"] == before
        told = client.post("/observe", json={"observations": [{"request": "late", "labels": [1, 0, 1]}]})
        assert told.json()["learned"] == 3


def test_the_verb_serves_and_ctrl_c_stops_it_with_what_was_learned_kept(tmp_path: Path) -> None:
    order = plan(FULL)
    made.store(tmp_path / "home" / "store", order)
    path = tmp_path / "books.yaml"
    path.write_text(order.model_dump_json())
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    environment = {"NIGHTLOOP_HOME": str(tmp_path / "home"), "PATH": "/usr/bin:/bin", "OMP_NUM_THREADS": "1"}
    words = [sys.executable, "-m", "nightloop", "serve", str(path), "--port", str(port)]
    server = subprocess.Popen(words, cwd=HOUSE, env=environment, stderr=subprocess.PIPE, text=True)
    try:
        told = asked_until_up(f"http://127.0.0.1:{port}/score", {**GOOD, "request": "r"}, server)
        assert len(told["scores"]) == 3
        assert b" 200 OK" in answer(port, b"host: 127.0.0.1:1")
        assert b"\"host 'evil.example' is not allowed; allowed are localhost and IP" in answer(
            port, b"host: evil.example"
        )
        assert b" 431 " in answer(port, b"host: localhost", *[b"x" * 10_000] * 20)  # one header that does not end
    finally:
        server.send_signal(2)
        _, said = server.communicate(timeout=60)
    assert "serves at http://127.0.0.1" in said and "Traceback" not in said and server.returncode == 0, said
    again = Predictor.open(Directory(tmp_path / "home" / "store"), "books")
    assert again.restore("server") and again.observe([("r", [1, 0, 0])]).counts == {"learned": 3}
    day = datetime.now(UTC).date().isoformat()
    (line,) = (tmp_path / "home" / "served" / "books" / "served" / f"{day}.jsonl").read_text().splitlines()
    assert json.loads(line)["request"] == "r" and json.loads(line)["i"] == GOOD["items"]


@pytest.mark.parametrize(
    ("words", "said"), [(["--server", "A B"], "'A B' is not a name"), ([], "choose another with --port")]
)
def test_a_server_that_cannot_begin_says_so_and_touches_nothing(tmp_path: Path, words: list[str], said: str) -> None:
    order = plan(FULL)
    made.store(tmp_path / "home" / "store", order)
    path = tmp_path / "books.yaml"
    path.write_text(order.model_dump_json())
    environment = {"NIGHTLOOP_HOME": str(tmp_path / "home"), "PATH": "/usr/bin:/bin", "OMP_NUM_THREADS": "1"}
    with socket.create_server(("127.0.0.1", 0)) as taken:
        command = [sys.executable, "-m", "nightloop", "serve", str(path), "--port", str(taken.getsockname()[1]), *words]
        done = subprocess.run(command, cwd=HOUSE, env=environment, capture_output=True, text=True, timeout=120)
    assert done.returncode == 2 and said in done.stderr and "serves at" not in done.stderr, done.stderr
    assert not list((tmp_path / "home" / "store").rglob("*.memory")) and not (tmp_path / "home" / "served").exists()


@pytest.mark.parametrize("name", ["token:" * 600_000, "\ud800", "x" * 3_000_000])
def test_features_of_any_name_cost_a_ranking_champion_nothing(tmp_path: Path, name: str) -> None:
    """One request of 48 kB took six seconds in which no other was answered; a lone surrogate was a fault."""
    body = json.dumps({"user": "u1", "items": ["i3"], "features": {name: 1}})
    with fastapi.TestClient(
        service(Place(tmp_path, made.ranking_plan()).desk), raise_server_exceptions=False
    ) as client:
        began = time.monotonic()
        for path in ("/score", "/recommend"):
            given = body if path == "/score" else body.replace('"items": ["i3"]', '"k": 2')
            answered = client.post(path, content=given, headers={"content-type": "application/json"})
            assert answered.status_code == 422 and "without features" in answered.json()["error"], answered.text[:200]
            assert len(answered.text) < 1_000
        assert time.monotonic() - began < 10


def answer(port: int, header: bytes, *more: bytes) -> bytes:
    """What comes back to a GET of /health with this header, and after it these bytes in place of the end."""
    with socket.create_connection(("127.0.0.1", port), 10) as line:
        with suppress(ConnectionError):
            line.sendall(b"GET /health HTTP/1.1\r\nconnection: close\r\n" + header + b"\r\n")
            for part in more or (b"\r\n",):
                line.sendall(part)
        found = b""
        with suppress(ConnectionError):
            while part := line.recv(65_536):
                found += part
        return found


def asked_until_up(url: str, body: dict[str, Any], server: subprocess.Popen[str]) -> dict[str, Any]:
    question = urllib.request.Request(url, json.dumps(body).encode(), {"content-type": "application/json"})
    for _ in range(600):
        if server.poll() is not None:
            raise AssertionError(server.communicate()[1])
        try:
            with urllib.request.urlopen(question, timeout=5) as answer:
                found: dict[str, Any] = json.loads(answer.read())
                return found
        except OSError:
            time.sleep(0.1)
    raise AssertionError("the server did not come up")


def test_a_store_that_is_full_at_the_end_is_said_and_the_service_ends(
    place: Place, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def full(self: Predictor, server: str) -> None:
        raise OSError(28, "the store is full")

    with fastapi.TestClient(service(place.desk)) as client:
        client.post("/score", json=GOOD)
        monkeypatch.setattr(Predictor, "save", full)
    assert "what was learned since it was last saved is lost: [Errno 28] the store is full" in caplog.text


def test_a_label_that_was_saved_has_its_row_in_the_store(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """Labels that came while rows were copied were saved: sent again they were refused as repeated, and had no row."""
    place.desk.copies = RecordCopies(place.objects, "books", place.path / "records")

    def label(request: str, context: ServiceContext) -> dict[str, int]:
        return dict([*context.observe_in_steps([(request, [1, 0, 1])])][-1].counts)

    for request in ("before", "meanwhile"):
        question = ScoreRequest(["u1"] * 3, GOOD["items"], CONTEXT)  # type: ignore[arg-type]
        place.desk.answers([RecordedRequest(question, request, place.now.isoformat())])
    assert label("before", place.desk) == {"learned": 3}
    monkeypatch.setattr(place.desk.copies, "send", lambda seconds: label("meanwhile", place.desk))
    place.desk.save_learned()
    again = place.opened()  # the process was killed, and its directory is gone
    again.predictor.restore("server")
    assert label("before", again) == {"repeated": 3} and label("meanwhile", again) == {"learned": 3}


def test_a_label_is_not_saved_before_its_row_is_written(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    question = ScoreRequest(["u1"] * 3, GOOD["items"], CONTEXT)  # type: ignore[arg-type]
    place.desk.answers([RecordedRequest(question, "r", place.now.isoformat())])
    saving, written = threading.Thread(target=place.desk.save_learned), []

    def write_slowly(rows: Any) -> None:
        saving.start()
        saving.join(0.3)
        written.append(place.objects.read(snapshot_key("books", "server")))

    monkeypatch.setattr(place.desk.records, "write_labelled", write_slowly)
    list(place.desk.observe_in_steps([("r", [1, 0, 1])]))
    saving.join(10)
    assert written == [None] and place.objects.read(snapshot_key("books", "server")) is not None


def test_a_row_is_on_the_disk_when_its_label_is_answered(place: Place) -> None:
    """After a kill -9 labels were sent again, refused as repeated, and their rows were in no file."""
    question = ScoreRequest(["u1"] * 3, GOOD["items"], CONTEXT)  # type: ignore[arg-type]
    place.desk.answers([RecordedRequest(question, "r", place.now.isoformat())])
    list(place.desk.observe_in_steps([("r", [1, 0, 1])]))
    lines = (place.path / "records/labelled/2026-01-02.jsonl").read_text().splitlines()
    assert [json.loads(line)["place"] for line in lines] == [0, 1, 2]


def test_a_store_that_does_not_answer_at_the_end_holds_up_no_service(
    place: Place, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """It waited for five minutes without a word, and with answers that were not on the disk."""
    from nightloop.tasks.http_service import app

    monkeypatch.setattr(app, "SILENT", 0.05)
    monkeypatch.setattr(app, "ENDING", 0.2)
    answers = threading.Event()
    with fastapi.TestClient(service(place.desk)) as client:
        monkeypatch.setattr(place.desk.predictor, "refresh", lambda: answers.wait(60))
        time.sleep(0.2)
        client.post("/score", json={**GOOD, "request": "r"})
    assert "the end waits for the store" in caplog.text and "the store does not answer" in caplog.text
    assert len((place.path / "records/served/2026-01-02.jsonl").read_text().splitlines()) == 1
    answers.set()
