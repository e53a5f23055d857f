"""Scores requests to a click model; those with features of the same names in one pass."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from nightloop.tasks.correction.chain import Notes
from nightloop.tasks.plan.errors import NightloopError
from nightloop.tasks.serving.online_learning import Learning, OnlineModel
from nightloop.tasks.serving.pending_labels import RecordedRequest, ScoredRequest, ScoreRequest, merge_requests


def score_requests(
    learning: Learning, model: OnlineModel, requests: Sequence[RecordedRequest]
) -> list[ScoredRequest | NightloopError]:
    """Each request scored, and kept for its labels if it has an id; or the error of a wrong one."""
    kinds: dict[tuple[str, ...], list[int]] = {}
    for position, request in enumerate(requests):
        kinds.setdefault(tuple(sorted(request.inputs.features)), []).append(position)
    scored: dict[int, ScoredRequest | NightloopError] = {}
    for positions in kinds.values():
        scored |= zip(
            positions, _score_together(learning, model, [requests[position] for position in positions]), strict=True
        )
    return [scored[position] for position in range(len(requests))]


def scored_request(
    model: OnlineModel, inputs: ScoreRequest, when: str, parts: tuple[Tensor, Tensor, Notes]
) -> ScoredRequest:
    """A scored request of what `Learning.correct` returned."""
    base, prediction, notes = parts
    return ScoredRequest(model.version, inputs, when, base.tolist(), prediction.tolist(), [None] * len(inputs), notes)


def _score_together(
    learning: Learning, model: OnlineModel, requests: Sequence[RecordedRequest]
) -> Sequence[ScoredRequest | NightloopError]:
    inputs = [request.inputs for request in requests]
    try:
        merged = inputs[0] if len(inputs) == 1 else merge_requests(inputs)
        base, prediction, notes = learning.correct(
            model, model.clicks.encoded(merged.users, merged.items, merged.features)
        )
    except NightloopError as error:
        if len(requests) == 1:
            return [error]
        return [_score_together(learning, model, [request])[0] for request in requests]  # to find the wrong one
    results, first = list[ScoredRequest | NightloopError](), 0
    for request in requests:
        rows = slice(first, first := first + len(request.inputs))
        part = base[rows], prediction[rows], tuple(note[rows] for note in notes)
        scored = scored_request(model, request.inputs, request.when, part)
        try:
            if request.request is not None:
                learning.remember(request.request, scored)
            results.append(scored)
        except NightloopError as error:
            results.append(error)
    return results
