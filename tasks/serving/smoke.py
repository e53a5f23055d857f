"""Smoke test: a candidate is loaded in a fresh process, from the store alone, and must predict what it did here."""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

from nightloop.tasks.data.vocabulary import Vocabulary
from nightloop.tasks.data.vocabulary import vocabulary_from_bytes as vocabulary_from
from nightloop.tasks.gate.policy import SmokeResult
from nightloop.tasks.modules.checkpoint import Weights
from nightloop.tasks.modules.checkpoint import from_bytes as weights_from
from nightloop.tasks.objects import blobs
from nightloop.tasks.objects.objects import open_for_reading
from nightloop.tasks.plan.errors import ConflictError, NightloopError
from nightloop.tasks.plan.plan import Plan
from nightloop.tasks.plan.redact import redact
from nightloop.tasks.plan.settings import Settings
from nightloop.tasks.record.manifest import CheckpointRef
from nightloop.tasks.serving.fresh_process import fork_server_of_process
from nightloop.tasks.serving.id_map import id_map
from nightloop.tasks.serving.load import build_model
from nightloop.tasks.serving.pending_labels import ScoreRequest

log = logging.getLogger(__name__)
ROWS = 64  # pairs that are asked; enough that a wrong table, order or scale cannot hide
CLOSE = 1e-6  # of max(1, |expected|): one rounding in float32
LIMIT = 60  # seconds a candidate may take to load and answer
UNKNOWN_ID = "\u0001 nobody"  # no log has this id


def smoke(
    settings: Settings,
    plan: Plan,
    checkpoint: CheckpointRef,
    vocabulary: str,
    expected: Sequence[float] | None = None,
    credentials: Mapping[str, str] | None = None,
) -> SmokeResult:
    """Try a candidate before it serves. A fault of the candidate is the result, never an exception.

    `vocabulary` is the blob's hash; `expected` are the `predictions` of the process that trained it (None: they are
    made here from the store). A fresh process opens the store of `settings`, checks hashes, builds the model, predicts.

    Raises ConflictError if it could not be tried at all (store away, process killed, no answer within a minute): such
    a night must be run again, not recorded as a rejection that a second run would not repeat.
    """
    objects = open_for_reading(settings, credentials)
    try:
        loaded_vocabulary = vocabulary_from(blobs.get(objects, vocabulary))
        if expected is None:
            expected = predictions(plan, weights_from(blobs.get(objects, checkpoint.weights)), loaded_vocabulary)
    except (NightloopError, FileNotFoundError) as error:
        return SmokeResult(False, redact(f"the candidate is incomplete: {type(error).__name__}: {error}")[:500])
    request = {
        "directory": str(Path.cwd()),
        "settings": settings.model_dump(mode="json", exclude={"catalog"}),
        "credentials": credentials,
        "plan": plan.model_dump(mode="json"),
        "weights": checkpoint.weights,
        "vocabulary": vocabulary,
        "questions": asdict(smoke_questions(plan, loaded_vocabulary)),
        "seconds": LIMIT,
    }
    result = fork_server_of_process().ask(request)
    if "trouble" in result:
        raise ConflictError(
            f"the candidate could not be tried in a fresh process: {result['trouble']}; run the night again"
        )
    if "bug" in result:
        log.error("the smoke test of a candidate failed with a bug:\n%s", result["traceback"])
        return SmokeResult(False, f"it failed by a bug of nightloop or of a plug-in: {result['bug'][:400]}", bug=True)
    if "fault" in result:
        return SmokeResult(False, f"a fresh process could not serve it: {result['fault']}")
    return compare_predictions(expected, result["predictions"])


def predictions(plan: Plan, weights: Weights, vocabulary: Vocabulary) -> list[float]:
    """The scores of these weights for `smoke_questions`, in this process."""
    questions = smoke_questions(plan, vocabulary)
    return build_model(plan, weights, vocabulary).score(questions.users, questions.items, questions.features)


def smoke_questions(plan: Plan, vocabulary: Vocabulary) -> ScoreRequest:
    """A fixed set of pairs spread over the whole vocabulary, an unknown user and an unknown item among them."""
    users, items = (_spread(id_map(vocabulary, field).names) for field in ("user", "item"))
    if plan.family == "ranking":  # its models look at users and items alone, whatever else the logs hold
        return ScoreRequest(users, items[::-1], {})
    features: dict[str, object] = {c: _spread(id_map(vocabulary, c).names) for c in plan.columns.categorical}
    features |= {column: [(j % 7) / 3 - 1 for j in range(ROWS)] for column in plan.columns.numeric}
    return ScoreRequest(users, items[::-1], features)


def compare_predictions(expected: Sequence[float], predicted: Sequence[float]) -> SmokeResult:
    """Whether both are the same predictions, all of them finite numbers."""
    if len(expected) != len(predicted) or not expected:
        return SmokeResult(
            False, f"{len(predicted)} predictions came back from a fresh process, {len(expected)} were expected"
        )
    if not all(math.isfinite(x) for x in (*expected, *predicted)):
        return SmokeResult(False, "a prediction is NaN or infinite")
    gap, row = max((abs(a - b) / max(1.0, abs(a)), j) for j, (a, b) in enumerate(zip(expected, predicted, strict=True)))
    if gap > CLOSE:
        return SmokeResult(
            False, f"row {row}: {predicted[row]!r} in a fresh process, {expected[row]!r} in the process that trained it"
        )
    return SmokeResult(True, f"{len(predicted)} predictions of a fresh process agree")


def _spread(names: Sequence[str]) -> list[str]:
    if not names:
        return [UNKNOWN_ID] * ROWS
    return [UNKNOWN_ID, *(names[j * (len(names) - 1) // (ROWS - 2)] for j in range(ROWS - 1))]
