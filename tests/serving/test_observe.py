"""Observe: labels come late, twice, in any order, for whom nobody served, while the champion changes; nothing is lost."""

from __future__ import annotations

import logging
import threading
from pathlib import Path
from typing import Any

import pytest
import torch

from nightloop.tasks.plan.plan import Plan
from nightloop.tasks.serving.pending_labels import PendingLabels, ScoredRequest, ScoreRequest
from nightloop.tasks.serving.predictor import Predictor
from nightloop.tasks.serving.snapshot import snapshot_key
from tests.serving import make_store as made

FIXED = {"intercept": {"use": "Recalibration", "options": {"prior": 1}}}
FULL = {
    **FIXED,
    "counters": {"use": "Counters", "options": {"strengths": [1]}},
    "memory": {"use": "ReLoop2", "options": {"lambdas": [0.5], "gammas": [1], "memory": {"kind": "sketch", "warm": 5}}},
}
CONTEXT = {"device": "d1", "age": 0.5}


def plan(correctors: dict[str, Any] = FULL, **serving: object) -> Plan:
    raw = made.click_plan().model_dump(mode="json")
    return Plan.model_validate({**raw, "correctors": correctors, "serving": serving})


def opened(place: Path, order: Plan) -> Predictor:
    objects, _ = made.store(place, order)
    return Predictor.open(objects, order.pipeline)


def taught(predictor: Predictor, name: str, label: int, requests: int = 20) -> None:
    for n in range(requests):
        predictor.score(["u1", "u2"], ["i3", f"i{n % 30}"], CONTEXT, request=f"{name}{n}")
        predictor.observe([(f"{name}{n}", [label, label])])


def asked(predictor: Predictor) -> list[float]:
    return predictor.score(["u1", "u2", "nobody"], ["i3", "i4", "i5"], CONTEXT)


def test_without_labels_the_base_serves_and_labels_move_it(tmp_path: Path) -> None:
    predictor = opened(tmp_path / "a", plan())
    plain = opened(tmp_path / "b", made.click_plan())
    before = asked(predictor)
    assert before == pytest.approx(asked(plain), abs=1e-6)
    taught(predictor, "r", 1)
    assert all(after > was + 0.05 for after, was in zip(asked(predictor), before, strict=True))
    page = predictor.answer(ScoreRequest(["u1"], ["i3"], CONTEXT))
    assert page.base == pytest.approx(before[:1], abs=1e-6) and page.prediction != page.base
    best = predictor.recommend("u1", 3, features=CONTEXT)
    assert predictor.score(["u1"] * 3, [item for item, _ in best], CONTEXT) == pytest.approx([s for _, s in best])


def test_labels_in_any_order_and_in_parts_teach_the_same(tmp_path: Path) -> None:
    found = []
    for name, order in {"at once": [0, 1, 2], "late": [2, 0, 1]}.items():
        predictor = opened(tmp_path / name, plan({"c": {"use": "Counters", "options": {"strengths": [1]}}}))
        for n in range(3):
            predictor.score(["u1", "u2"], [f"i{n}", "i9"], CONTEXT, request=f"r{n}")
        for n in order:
            if name == "late":
                assert predictor.observe([(f"r{n}", [None, 1])]).counts == {"learned": 1}
                assert predictor.observe([(f"r{n}", [0, None])]).counts == {"learned": 1}
            else:
                predictor.observe([(f"r{n}", [0, 1])])
        found.append(asked(predictor))
    assert found[0] == pytest.approx(found[1], abs=1e-6)


def test_a_label_counts_once_and_the_first_one_stands(tmp_path: Path) -> None:
    predictor = opened(tmp_path, plan())
    predictor.score(["u1", "u2"], ["i3", "i4"], CONTEXT, request="r")
    assert predictor.observe([("r", [1, 0])]).counts == {"learned": 2}
    after = asked(predictor)
    again = predictor.observe([("r", [1, 1]), ("never served", [1, 0]), ("r", [None, 0])])
    assert again.counts == {"repeated": 2, "contradicted": 1, "unknown": 2} and not again.rows
    assert again.examples == {"repeated": "r", "contradicted": "r", "unknown": "never served"}
    assert asked(predictor) == after


@pytest.mark.parametrize("labels", [[2, 0], [0.5, 0], ["1", 0], [float("nan"), 0], [1], [1, 0, 1], []])
def test_what_is_no_label_teaches_nothing_at_all(tmp_path: Path, labels: list[Any]) -> None:
    predictor = opened(tmp_path, plan())
    for request in ("good", "bad"):
        predictor.score(["u1", "u2"], ["i3", "i4"], CONTEXT, request=request)
    before = asked(predictor)
    with pytest.raises(ValueError, match="request 'bad'"):
        predictor.observe([("good", [1, 1]), ("bad", labels)])
    assert asked(predictor) == before
    assert predictor.observe([("good", [1, 1]), ("bad", [1, 0])]).counts == {"learned": 4}


def test_a_request_id_is_taken_once_and_the_book_forgets_the_oldest(tmp_path: Path) -> None:
    predictor = opened(tmp_path, plan(max_pending_rows=5))
    for n in range(4):
        predictor.score(["u1", "u2"], ["i3", "i4"], CONTEXT, request=f"r{n}")
    with pytest.raises(ValueError, match="'r3' was served already"):
        predictor.score(["u1"], ["i3"], CONTEXT, request="r3")
    counts = predictor.observe([(f"r{n}", [1, 0]) for n in range(4)]).counts
    assert counts == {"unknown": 4, "learned": 4}
    learning = predictor.learning
    assert learning and learning.pending.rows == 4 and learning.pending.forgotten == 2


def test_one_request_larger_than_the_book_is_kept_alone() -> None:
    book = PendingLabels(3)
    for n, rows in enumerate((1, 9, 2)):
        book.add(
            f"r{n}",
            ScoredRequest("v", ScoreRequest(["u"] * rows, ["i"] * rows), "", [0.1] * rows, [0.1] * rows, [None] * rows),
        )
        assert book.get(f"r{n}") and len(book) == 1


def test_a_book_of_long_texts_holds_fewer_requests() -> None:
    book, long = PendingLabels(30), "x" * 9_000
    for n in range(10):
        book.add(
            f"r{n}",
            ScoredRequest("v", ScoreRequest(["u"], ["i"], {"text": long, "each": [long]}), "", [0.1], [0.1], [None]),
        )
    assert len(book) == 1 and book.forgotten == 9 and book.get("r9") and book.characters == 18_002
    book.add("short", ScoredRequest("v", ScoreRequest(["u"], ["i"]), "", [0.1], [0.1], [None]))
    assert len(book) == 2 and book.rows == 2


def test_a_ranking_champion_has_nothing_to_correct(tmp_path: Path) -> None:
    predictor = opened(tmp_path, made.ranking_plan())
    assert predictor.learning is None and predictor.save("server") is False and predictor.restore("server") is False
    with pytest.raises(ValueError, match="ranking model"):
        predictor.observe([("r", [1])])


@pytest.mark.parametrize("policy", ["replay", "keep", "drop"])
def test_a_new_champion_does_with_what_was_learned_what_the_plan_says(tmp_path: Path, policy: str) -> None:
    order = plan(on_new_champion=policy, warmup_rows=4)
    objects, _ = made.store(tmp_path / "a", order)
    predictor = Predictor.open(objects, "books")
    taught(predictor, "r", 1)
    predictor.score(["u1", "u2"], ["i3", "i4"], CONTEXT, request="late")
    before = asked(predictor)
    made.promote(objects, made.night(objects, order, 1, seed=9), expect=1)
    assert predictor.refresh()
    fresh = Predictor.open(objects, "books")  # who knows nothing
    learning = predictor.learning
    assert learning and learning.now.version == predictor.now.name
    gap = [a - b for a, b in zip(asked(predictor), asked(fresh), strict=True)]
    if policy == "drop":
        assert gap == pytest.approx([0, 0, 0], abs=1e-6) and asked(predictor) != before
    else:
        assert min(gap) > 0.03
    counts = predictor.observe([("late", [1, 0])]).counts
    assert counts == ({"learned": 2} if policy == "replay" else {"learned": 0, "outdated": 2})
    if policy == "keep":
        taught(predictor, "s", 0, requests=2)
        assert asked(predictor)[0] < asked(fresh)[0]  # the kept memory has retired; the new one saw four zeros


def test_a_replay_is_exactly_what_the_new_model_would_have_learned(tmp_path: Path) -> None:
    order = plan()
    objects, _ = made.store(tmp_path, order)
    predictor = Predictor.open(objects, "books")
    taught(predictor, "r", 1)
    made.promote(objects, made.night(objects, order, 1, seed=9), expect=1)
    straight = Predictor.open(objects, "books")
    for n in range(20):
        straight.score(["u1", "u2"], ["i3", f"i{n % 30}"], CONTEXT, request=f"r{n}")
    straight.observe([(f"r{n}", [1, 1]) for n in range(20)])
    predictor.refresh()
    assert asked(predictor) == pytest.approx(asked(straight), abs=1e-6)


def test_a_restarted_server_goes_on_where_it_was(tmp_path: Path) -> None:
    order = plan()
    objects, _ = made.store(tmp_path, order)
    predictor, other = Predictor.open(objects, "books"), Predictor.open(objects, "books")
    assert predictor.restore("a") is False
    taught(predictor, "r", 1)
    for one in (predictor, other):
        one.score(["u1", "u2"], ["i3", "i4"], CONTEXT, request="late")
    assert predictor.save("a")
    again = Predictor.open(objects, "books")
    assert again.restore("a") and asked(again) == asked(predictor)
    assert again.observe([("late", [1, None]), ("r0", [1, 1])]).counts == {"learned": 1, "repeated": 2}
    predictor.observe([("late", [1, None])])
    assert asked(again) == pytest.approx(asked(predictor), abs=1e-6)
    assert again.save("a") and Predictor.open(objects, "books").restore("b") is False
    made.promote(objects, made.night(objects, order, 1, seed=9), expect=1)
    newer, fresh = Predictor.open(objects, "books"), Predictor.open(objects, "books")
    assert (
        newer.restore("a") and asked(newer)[0] > asked(fresh)[0] + 0.03
    )  # the recent rows, as the new model sees them


def test_a_damaged_snapshot_is_passed_over(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    objects, _ = made.store(tmp_path, plan())
    predictor = Predictor.open(objects, "books")
    before = asked(predictor)
    taught(predictor, "r", 1)
    predictor.save("a")
    path = tmp_path / snapshot_key("books", "a")
    path.chmod(0o600)
    path.write_bytes(path.read_bytes()[:-100])
    again = Predictor.open(objects, "books")
    with caplog.at_level(logging.WARNING):
        assert again.restore("a") is False
    assert "is not used" in caplog.text and asked(again) == before


def test_a_new_plan_with_other_columns_begins_anew(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    order = plan()
    objects, _ = made.store(tmp_path, order)
    predictor = Predictor.open(objects, "books")
    taught(predictor, "r", 1)
    raw = order.model_dump(mode="json")
    raw["columns"]["numeric"] = []
    made.promote(objects, made.night(objects, Plan.model_validate(raw), 1, seed=9), expect=1)
    with caplog.at_level(logging.WARNING):
        assert predictor.refresh()
    assert "do not fit" in caplog.text
    assert predictor.score(["u1"], ["i3"], {"device": "d1"}) != []


def test_many_threads_score_and_observe_while_champions_change(tmp_path: Path) -> None:
    order = plan(replay_rows=50)
    objects, _ = made.store(tmp_path, order)
    predictor = Predictor.open(objects, "books")
    stop, wrong, learned = threading.Event(), [], []

    def ask(name: int) -> None:
        n = 0
        while not stop.is_set():
            n += 1
            try:
                predictor.score(["u1", "u2"], ["i3", "i4"], CONTEXT, request=f"{name}-{n}")
                learned.append(predictor.observe([(f"{name}-{n}", [n % 2, 0])]).counts["learned"])
            except Exception as error:
                wrong.append(error)

    threads = [threading.Thread(target=ask, args=(name,)) for name in range(3)]
    for thread in threads:
        thread.start()
    for n in range(1, 5):
        made.promote(objects, made.night(objects, order, n, seed=n), expect=n)
        assert predictor.refresh()
    stop.set()
    for thread in threads:
        thread.join()
    learning = predictor.learning
    assert not wrong and set(learned) == {2} and learning and learning.labelled == sum(learned)
    assert len(learning.recent) == 50
    assert all(bool(torch.isfinite(tensor).all()) for tensor in learning.now.chain.snapshot().values())
