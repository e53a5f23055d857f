"""Scores requests to a click model; those with features of the same names in one pass."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from nightloop.tasks.correction.chain import Notes
from nightloop.tasks.plan.errors import NightloopError
from nightloop.tasks.serving.online_learning import Learning, OnlineModel
from nightloop.tasks.serving.pending_labels import RecordedRequest, ScoredRequest, ScoreRequest, merge_requests


def score_requests(
    learning: Learning, model: OnlineModel, questions: Sequence[RecordedRequest]
) -> list[ScoredRequest | NightloopError]:
    """Each request scored, and kept for its labels if it has an id; or the error of a wrong one."""
    kinds: dict[tuple[str, ...], list[int]] = {}
    for place, question in enumerate(questions):
        kinds.setdefault(tuple(sorted(question.asked.features)), []).append(place)
    found: dict[int, ScoredRequest | NightloopError] = {}
    for places in kinds.values():
        found |= zip(places, _pages(learning, model, [questions[place] for place in places]), strict=True)
    return [found[place] for place in range(len(questions))]


def scored_request(
    model: OnlineModel, asked: ScoreRequest, when: str, parts: tuple[Tensor, Tensor, Notes]
) -> ScoredRequest:
    """A scored request of what `corrected` returned."""
    base, prediction, notes = parts
    return ScoredRequest(model.version, asked, when, base.tolist(), prediction.tolist(), [None] * len(asked), notes)


def _pages(
    learning: Learning, model: OnlineModel, questions: Sequence[RecordedRequest]
) -> Sequence[ScoredRequest | NightloopError]:
    asked = [question.asked for question in questions]
    try:
        whole = asked[0] if len(asked) == 1 else merge_requests(asked)
        base, prediction, notes = learning.corrected(
            model, model.clicks.encoded(whole.users, whole.items, whole.features)
        )
    except NightloopError as error:
        if len(questions) == 1:
            return [error]
        return [_pages(learning, model, [question])[0] for question in questions]  # to find the wrong one
    pages, first = list[ScoredRequest | NightloopError](), 0
    for question in questions:
        rows = slice(first, first := first + len(question.asked))
        part = base[rows], prediction[rows], tuple(note[rows] for note in notes)
        page = scored_request(model, question.asked, question.when, part)
        try:
            if question.request is not None:
                learning.remember(question.request, page)
            pages.append(page)
        except NightloopError as error:
            pages.append(error)
    return pages
