"""Online learning: corrects what a click model predicts, and learns from the labels of what was served, as they come back."""

from __future__ import annotations

import logging
import threading
from collections import Counter, deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from time import perf_counter, sleep

import torch
from torch import Tensor

from nightloop.tasks.correction.chain import Chain, Notes, begin_chain
from nightloop.tasks.correction.corrector import ScoredRows, Shape
from nightloop.tasks.correctors import build_all
from nightloop.tasks.data.logs import Logs
from nightloop.tasks.plan.errors import DataError
from nightloop.tasks.plan.plan import Plan
from nightloop.tasks.plan.serving_options import Serving
from nightloop.tasks.serving.ctr_model import Clicks
from nightloop.tasks.serving.pending_labels import PendingLabels, Row, ScoredRequest, gather_rows
from nightloop.tasks.training.hidden_features import logits_and_hidden

log = logging.getLogger(__name__)

AT_ONCE = 200  # rows that are learned from under one lock: a request waits for no more than these
ROUNDS = 20  # of a replay, each of what was labelled during the one before


@dataclass
class OnlineModel:
    """A click model that serves, with the state of its correctors."""

    version: str
    clicks: Clicks
    chain: Chain
    old: Chain | None = None  # of the model before; it answers until this one has seen `until` rows
    seen: int = 0
    width: int = 0  # columns of what the correctors see of a row


@dataclass(frozen=True)
class Observed:
    """What became of labels; `rows` are those that were new, as (request, page, places in it).

    Not learned: `repeated` (known already), `contradicted` (known otherwise: the first stands), `unknown` (never served,
    or forgotten) and `outdated` (served by another model, whose errors say nothing about this one).
    """

    counts: Counter[str]
    examples: dict[str, str] = field(default_factory=dict)  # of what was not learned: a request each
    rows: list[tuple[str, ScoredRequest, list[int]]] = field(default_factory=list)

    def say(self, outcome: str, request: str, rows: int = 1) -> None:
        """Count rows that were not learned."""
        self.counts[outcome] += rows
        self.examples.setdefault(outcome, request)


def with_correctors(version: str, clicks: Clicks, plan: Plan) -> OnlineModel:
    """A model whose correctors have seen nothing yet."""
    nothing = {**dict.fromkeys(clicks.categorical), **dict.fromkeys(clicks.numeric, 0.0)}
    width = logits_and_hidden(clicks.model, clicks.weights, clicks.encoded([None], [None], nothing))[1].shape[1]
    shape = Shape(width, len(clicks.ids["user"]), len(clicks.ids["item"]))
    return OnlineModel(version, clicks, begin_chain(version, build_all(plan.correctors), shape), width=width)


class Learning:
    """The pending labels, the newest labelled rows, and the model that learns now. Any number of threads may use it."""

    def __init__(self, now: OnlineModel, rules: Serving) -> None:
        self.now, self.rules, self.pending = now, rules, PendingLabels(rules.max_pending_rows)
        self.lock = threading.Lock()
        self.recent: deque[tuple[Row, float]] = deque(maxlen=rules.replay_rows)
        self.labelled = 0  # rows that ever went into `recent`

    @torch.inference_mode()
    def correct(self, model: OnlineModel, logs: Logs) -> tuple[Tensor, Tensor, Notes]:
        """Probabilities [n] of `model`, what its correctors make of them, and the notes to learn from."""
        logits, hidden = logits_and_hidden(model.clicks.model, model.clicks.weights, logs)
        rows = ScoredRows(logs.rows, hidden, torch.sigmoid(logits))
        with self.lock:
            probability, notes = model.chain.correct(rows)
            if model.old is not None and model.seen < self.rules.warmup_rows:
                probability = model.old.correct(rows)[0]
        return rows.probability, probability, notes

    def remember(self, request: str, scored: ScoredRequest) -> None:
        """Keep a scored request until its labels come. Raises DataError if the id is taken."""
        with self.lock:
            self.pending.add(request, scored)

    def observe_in_steps(self, labels: Sequence[tuple[str, Sequence[float | None]]]) -> Iterator[Observed]:
        """Learn from labels by request id, one a row: 0, 1, or None if it is not known (yet); a few with each step.

        Each step yields what has become of the labels so far: always the same object, which grows.

        Each row is learned once, in whatever order labels come; a later label of the same row changes nothing. Raises
        DataError, and learns nothing, if a label is not 0, 1 or None or there is not one for each row.
        """
        for request, row_labels in labels:
            scored = self.pending.get(request)
            if wrong := [y for y in row_labels if y is not None and y not in (0, 1)]:
                raise DataError(f"request {request[:80]!r}: given label {wrong[0]!r:.40}; allowed are 0, 1 and null")
            if scored is not None and len(row_labels) != len(scored.inputs):
                raise DataError(
                    f"request {request[:80]!r}: {len(row_labels)} labels for {len(scored.inputs)} rows; give one a row, null if "
                    "it is not known"
                )
        observed, waiting, rows = Observed(Counter()), [], 0
        for number, (request, row_labels) in enumerate(labels, 1):
            waiting.append((request, row_labels))
            rows += len(row_labels)
            if rows >= AT_ONCE or number == len(labels):
                with self.lock:
                    self._learn(waiting, observed)
                waiting, rows = [], 0
                yield observed

    def replace_model(self, fresh: OnlineModel, rules: Serving) -> None:
        """Let `fresh` learn from now on; the plan's `on_new_champion` says what it takes over.

        A replay runs beside the requests, and again for what was labelled meanwhile, until that is little; only the rest
        is replayed while they wait.
        """
        done, rounds = self.labelled - len(self.recent), ROUNDS if rules.on_new_champion == "replay" else 0
        for number in range(rounds):
            with self.lock:
                rows, done = self._since(done), self.labelled
            self.replay(fresh, rows, gently=number == 0)
            if len(rows) <= AT_ONCE:
                break
        with self.lock:
            before = self.now
            if rounds:
                self.replay(fresh, self._since(done))
            elif rules.on_new_champion == "keep" and _can_share_correctors(before, fresh):
                fresh.old = before.old if before.old and before.seen < self.rules.warmup_rows else before.chain
            self.now, self.rules, self.pending.limit = fresh, rules, rules.max_pending_rows
            self.recent = deque(self.recent, maxlen=rules.replay_rows)

    def _since(self, labelled: int) -> list[tuple[Row, float]]:
        """Of the newest rows those that were labelled after the first `labelled` ones."""
        return list(self.recent)[len(self.recent) - min(self.labelled - labelled, len(self.recent)) :]

    @torch.inference_mode()
    def _learn(self, labels: Sequence[tuple[str, Sequence[float | None]]], observed: Observed) -> None:
        now, noted, replay_rows = self.now, [], []
        for request, row_labels in labels:
            scored = self.pending.get(request)
            fresh = _find_new_labels(request, scored, row_labels, observed)
            if scored is None or not fresh:
                continue
            rows = [
                (row, float(row_labels[position] or 0))
                for position, row in zip(fresh, scored.inputs.rows(fresh), strict=True)
            ]
            for position, (_, label) in zip(fresh, rows, strict=True):
                scored.label[position] = label
            self.recent.extend(rows)
            self.labelled += len(rows)
            observed.counts["learned"] += len(rows)
            observed.rows.append((request, scored, fresh))
            if scored.version == now.version and scored.notes is not None:
                notes = scored.notes if len(fresh) == len(row_labels) else tuple(note[fresh] for note in scored.notes)
                noted.append((notes, [label for _, label in rows]))
            elif scored.version == now.version or self.rules.on_new_champion == "replay":
                replay_rows.extend(rows)
            else:
                observed.counts["learned"] -= len(rows)
                observed.say("outdated", request, len(rows))
        if noted:
            notes = tuple(torch.cat(parts) for parts in zip(*(n for n, _ in noted), strict=True))
            y = torch.tensor([label for _, part in noted for label in part])
            now.chain.observe(now.version, notes, y)
            now.seen += len(y)
        self.replay(now, replay_rows)

    @torch.inference_mode()
    def replay(self, model: OnlineModel, rows: Sequence[tuple[Row, float]], gently: bool = False) -> None:
        """Score rows by `model`, and let its correctors learn from them, in the order in which their labels came.

        Rows that were asked with other features (a history, or none) are scored apart, those asked most first. `gently`
        leaves most of the time to the requests beside it.
        """
        kinds: dict[tuple[str, ...], list[tuple[Row, float]]] = {}
        for row in rows:
            kinds.setdefault(tuple(sorted(row[0][2])), []).append(row)
        for kind in sorted(kinds.values(), key=len, reverse=True):
            for first in range(0, len(kind), AT_ONCE):
                began = perf_counter()
                self._learn_again(model, kind[first : first + AT_ONCE])
                if gently:
                    sleep(2 * (perf_counter() - began))

    def _learn_again(self, model: OnlineModel, rows: Sequence[tuple[Row, float]]) -> None:
        inputs = gather_rows([row for row, _ in rows])
        try:
            logs = model.clicks.encoded(inputs.users, inputs.items, inputs.features)
        except DataError as error:  # the new plan has other columns: these rows cannot be its own
            log.warning("%d labelled rows do not fit %s and are not learned again: %s", len(rows), model.version, error)
            return
        logits, hidden = logits_and_hidden(model.clicks.model, model.clicks.weights, logs)
        notes = model.chain.correct(ScoredRows(logs.rows, hidden, torch.sigmoid(logits)))[1]
        model.chain.observe(model.version, notes, torch.tensor([label for _, label in rows]))
        model.seen += len(rows)


def _find_new_labels(
    request: str, scored: ScoredRequest | None, row_labels: Sequence[float | None], observed: Observed
) -> list[int]:
    """Positions of rows whose label is new; the others are counted by the reason."""
    fresh = []
    for position, label in enumerate(row_labels):
        if label is None:
            continue
        before = scored.label[position] if scored else None
        if scored and before is None:
            fresh.append(position)
        else:
            observed.say("unknown" if not scored else "repeated" if before == label else "contradicted", request)
    return fresh


def _can_share_correctors(before: OnlineModel, after: OnlineModel) -> bool:
    """Whether the correctors of one model can read the rows of the other."""
    return before.width == after.width and before.chain.correctors == after.chain.correctors
