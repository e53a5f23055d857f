"""Batches: who waits is answered together, a mistake is its owner's alone, and long work holds nobody up."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from nightloop.tasks.http_service.micro_batch import MicroBatcher
from nightloop.tasks.serving.pending_labels import RecordedRequest, ScoredRequest, ScoreRequest
from tests.serving.test_observe import CONTEXT, opened, plan, taught


def question(items: int, request: str | None = None) -> RecordedRequest:
    return RecordedRequest(ScoreRequest([f"u{items}"] * items, [f"i{j}" for j in range(items)], CONTEXT), request)


def page(one: RecordedRequest) -> ScoredRequest:
    scores = [0.5] * len(one.inputs)
    return ScoredRequest("v", one.inputs, "", scores, scores, [None] * len(one.inputs))


def test_all_who_wait_are_answered_in_one_pass() -> None:
    sizes, go = [], threading.Event()

    def answers(some: Sequence[RecordedRequest]) -> Sequence[ScoredRequest]:
        go.wait(10)
        sizes.append(len(some))
        return [page(one) for one in some]

    async def ask() -> list[ScoredRequest]:
        batches = MicroBatcher(answers)
        batches.start()
        waiting = [asyncio.create_task(batches.answer(question(n))) for n in range(1, 6)]
        await asyncio.sleep(0.2)  # the first is worked on, or all of them wait
        go.set()
        found = await asyncio.gather(*waiting)
        batches.stop()
        return found

    assert [len(one.inputs) for one in asyncio.run(ask())] == [1, 2, 3, 4, 5]
    assert sum(sizes) == 5 and max(sizes) >= 4


def test_what_goes_wrong_with_one_is_not_the_answer_of_those_who_wait_with_it() -> None:
    go = threading.Event()

    def answers(some: Sequence[RecordedRequest]) -> Sequence[ScoredRequest]:
        go.wait(10)
        if any(len(one.inputs) == 3 for one in some):
            raise RuntimeError("a mistake of ours")
        return [page(one) for one in some]

    async def ask() -> list[object]:
        batches = MicroBatcher(answers)
        batches.start()
        waiting = [asyncio.create_task(batches.answer(question(n))) for n in range(1, 6)]
        await asyncio.sleep(0.2)
        go.set()
        found: list[object] = list(await asyncio.gather(*waiting, return_exceptions=True))
        batches.stop()
        return found

    found = asyncio.run(ask())
    assert isinstance(found.pop(2), RuntimeError) and all(isinstance(one, ScoredRequest) for one in found)


def test_what_goes_wrong_is_its_owners_answer_and_the_next_one_is_answered() -> None:
    def answers(some: Sequence[RecordedRequest]) -> Sequence[ScoredRequest]:
        if len(some[0].inputs) == 1:
            raise RuntimeError("a mistake of ours")
        return [page(one) for one in some]

    def wrong() -> Iterator[int]:
        yield 1
        raise ValueError("half way")

    async def ask() -> None:
        batches = MicroBatcher(answers)
        batches.start()
        with pytest.raises(RuntimeError, match="ours"):
            await batches.answer(question(1))
        with pytest.raises(ValueError, match="half way"):
            await batches.last(wrong())
        assert len((await batches.answer(question(2))).inputs) == 2
        batches.stop()

    asyncio.run(ask())


def test_a_request_is_answered_between_two_steps_of_longer_work() -> None:
    order: list[str] = []

    def answers(some: Sequence[RecordedRequest]) -> Sequence[ScoredRequest]:
        order.append("answer")
        return [page(one) for one in some]

    async def ask() -> int:
        begun, asked = threading.Event(), threading.Event()

        def steps() -> Iterator[int]:
            for n in range(4):
                order.append(f"step {n}")
                begun.set()
                asked.wait(10)
                yield n

        batches = MicroBatcher(answers)
        batches.start()
        work = asyncio.create_task(batches.last(steps()))
        await asyncio.to_thread(begun.wait, 10)
        waiting = asyncio.create_task(batches.answer(question(1)))
        await asyncio.sleep(0.05)
        asked.set()
        await waiting
        last = await work
        batches.stop()
        return last

    assert asyncio.run(ask()) == 3
    assert order == ["step 0", "answer", "step 1", "step 2", "step 3"]


def test_requests_together_get_what_each_gets_alone(tmp_path: Path) -> None:
    alone, joint = (opened(tmp_path / name, plan()) for name in ("alone", "joint"))
    for predictor in (alone, joint):
        taught(predictor, "r", 1)
    lists = ScoreRequest(["u1", "u2"], ["i3", "nobody's"], {"device": ["d1", "d2"], "age": [0.5, 2.0]})
    wrong = [
        ScoreRequest(["u1"], ["i3"], {"device": "d1"}),
        ScoreRequest(["u1", "u2"], ["i3", "i4"], {"device": ["d1"], "age": 0.5}),
        ScoreRequest(
            ["u1"], ["i3"], {"device": ["d1", "d2"], "age": 0.5}
        ),  # with the one before as long as both should be
        ScoreRequest(["u1"], ["i3"], {"device": "d1", "age": float("nan")}),
    ]
    questions = [
        question(3, "a"),
        *map(RecordedRequest, wrong),
        RecordedRequest(lists, "b"),
        question(2, "a"),
        question(1, "c"),
    ]
    found = joint.score_requests(questions)
    for one, answer in zip(questions, found, strict=True):
        if isinstance(answer, ValueError):
            with pytest.raises(ValueError) as said:
                alone.answer(one.inputs, one.request)
            assert str(said.value) == str(answer)
        else:
            expected = alone.answer(one.inputs, one.request)
            assert answer.prediction == pytest.approx(expected.prediction) and answer.base == pytest.approx(
                expected.base
            )
    assert [isinstance(answer, ValueError) for answer in found] == [0, 1, 1, 1, 1, 0, 1, 0]
    for predictor in (alone, joint):
        assert predictor.observe([("b", [1, 0]), ("a", [0, 0, 0])]).counts == {"learned": 5}
    assert joint.answer(lists).prediction == pytest.approx(alone.answer(lists).prediction)
