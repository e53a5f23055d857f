"""Predictor: load the champion once, score and recommend many times, notice a new one; for a web service, say.

    predictor = Predictor.open(open_objects(Settings()), "simulated")
    predictor.recommend("u17", k=10, exclude=seen)

A click model's probabilities are corrected by the plan's correctors, which learn from the labels that come back:

    predictor.score(["u17"] * 2, ["i3", "i9"], features, request="r1")
    predictor.observe([("r1", [0, 1])])

Needs neither Prefect nor the lake. All methods may be called from any number of threads.
"""

from __future__ import annotations

import logging
import threading
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from nightloop.tasks.objects.objects import Objects
from nightloop.tasks.plan.errors import DataError, NightloopError, NotReady
from nightloop.tasks.plan.load import as_given
from nightloop.tasks.plan.plan import Plan
from nightloop.tasks.plan.redact import redact
from nightloop.tasks.record import manifest_store, promotion_log
from nightloop.tasks.record.promotion_log import Entry
from nightloop.tasks.serving import snapshot
from nightloop.tasks.serving.ctr_model import Clicks
from nightloop.tasks.serving.load import Served, load
from nightloop.tasks.serving.online_learning import Learning, Observed, OnlineModel, known
from nightloop.tasks.serving.online_score import score_requests, scored_request
from nightloop.tasks.serving.pending_labels import RecordedRequest, ScoredRequest, ScoreRequest, listed
from nightloop.tasks.serving.ranking_model import best

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Version:
    """A champion that is loaded: the log entry that made it one, the pointer's tag when it was read, and the model.

    A click model is `known` as well: its correctors and what they have learned go with it.
    """

    entry: Entry
    tag: str
    model: Served
    plan: Plan
    known: OnlineModel | None

    @property
    def name(self) -> str:
        """Period, strategy and weights: two champions of one name predict the same."""
        return f"{self.entry.name}/{self.entry.strategy}/{self.entry.checkpoint.weights[:12]}"


class Predictor:
    """The champion of one pipeline. Swaps are one assignment: a request sees the old one or the new one, whole."""

    def __init__(self, objects: Objects, pipeline: str, version: Version) -> None:
        self._objects, self._pipeline, self._now = objects, pipeline, version
        self._loading = threading.Lock()
        self._problem = ""
        self._learning = Learning(version.known, version.plan.serving) if version.known else None

    @classmethod
    def open(cls, objects: Objects, pipeline: str) -> Predictor:
        """The predictor of the pipeline's champion.

        Raises NotReady if there is none yet, FileNotFoundError where its blobs are gone, ValueError where
        something was changed or does not fit.
        """
        return cls(objects, pipeline, _load_champion(objects, pipeline, _tag(objects, pipeline)))

    @property
    def version(self) -> Entry:
        """What serves: its entry in the promotion log, with manifest, period, strategy, and who promoted it and why."""
        return self._now.entry

    @property
    def problem(self) -> str:
        """Why the newest champion could not be loaded, and an older one still serves; empty where all is well."""
        return self._problem

    @property
    def now(self) -> Version:
        """What serves, whole: hold on to it where several questions must be about the same champion."""
        return self._now

    @property
    def learning(self) -> Learning | None:
        """The book and the correctors of a click model; None for a ranking model, which has nothing to correct."""
        return self._learning

    def score(
        self,
        users: Sequence[object],
        items: Sequence[object],
        features: Mapping[str, object] | None = None,
        request: str | None = None,
    ) -> list[float]:
        """One score for each pair (users[j], items[j]); unknown ids get a defined score, never an error.

        Ranking models: the dot product (an unknown user counts as the mean user, an unknown item scores 0). Click
        models: the probability of a click as corrected; `features` holds every categorical and numeric column of the
        plan, one value for all rows or a list of one a row. With a `request` id it is remembered until `observe` is
        told its labels. Raises DataError if lengths, features or the id do not fit.
        """
        return list(self.answer(ScoreRequest(users, items, features or {}), request).prediction)

    def answer(self, asked: ScoreRequest, request: str | None = None, when: str = "") -> ScoredRequest:
        """As `score`, with what the model said before correction and the champion's name; `when` is kept with it."""
        (page,) = self.score_requests([RecordedRequest(asked, request, when)])
        if isinstance(page, NightloopError):
            raise page
        return page

    def score_requests(self, questions: Sequence[RecordedRequest]) -> list[ScoredRequest | NightloopError]:
        """As `answer`, of several requests in one pass of the model; what is wrong with one is its answer."""
        now = self._now
        if now.known is not None and self._learning is not None:
            return score_requests(self._learning, now.known, questions)
        return [_scored(now, question) for question in questions]

    def recommend(
        self, user: object, k: int = 10, exclude: Collection[object] = (), features: Mapping[str, object] | None = None
    ) -> list[tuple[str, float]]:
        """The best `k` items of this user as (item id, score), best first, without those in `exclude`.

        An unknown user gets the items of the mean user (see `factors.py`). Fewer than `k` where there are no more.
        Raises DataError if k is below 1 or features do not fit.
        """
        page = self.best(user, k, exclude, features or {})
        return list(zip(map(str, page.asked.items), page.prediction, strict=True))

    def best(
        self, user: object, k: int, exclude: Collection[object], features: Mapping[str, object],
        request: str | None = None, when: str = "",
    ) -> ScoredRequest:  # fmt: skip
        """As `recommend`, as the page that `answer` gives for the items that were chosen."""
        now = self._now
        if now.known is None or self._learning is None:
            found = now.model.recommend(user, k, exclude, features)
            items, scores = [item for item, _ in found], [score for _, score in found]
            return _uncorrected(now, ScoreRequest([user] * len(items), items, features), when, scores)
        clicks = now.known.clicks
        base, probability, notes = self._learning.corrected(now.known, clicks.catalogue(user, features))
        items = [item for item, _ in best(probability, k, exclude, clicks.ids["item"])]
        rows = clicks.ids["item"].rows(items)
        each = {n: [v[row] for row in rows] if listed(v) else v for n, v in features.items()}
        asked = ScoreRequest([user] * len(items), items, each)
        page = scored_request(
            now.known, asked, when, (base[rows], probability[rows], tuple(note[rows] for note in notes))
        )
        if request is not None:
            self._learning.remember(request, page)
        return page

    def observe(self, labels: Sequence[tuple[str, Sequence[float | None]]]) -> Observed:
        """Learn from the labels of served requests: (request id, one label a row: 0, 1, or None where not known).

        They may come hours later, in any order, some rows of a request now and others then; each is learned once. What
        cannot be learned is counted (see `Observed`). Raises DataError, and learns nothing, where a label is none.
        """
        return [Observed(Counter()), *self.observing(labels)][-1]

    def observing(self, labels: Sequence[tuple[str, Sequence[float | None]]]) -> Iterator[Observed]:
        """As `observe`, a few rows with each step, for whoever has requests to answer in between."""
        if self._learning is None:
            raise DataError("this champion is a ranking model: there is no probability that a label could correct")
        return self._learning.observing(labels)

    def save(self, server: str) -> bool:
        """Write what was learned to the store; False where another server of this name did so at the same time."""
        return self._learning is not None and snapshot.save(self._objects, self._pipeline, server, self._learning)

    def restore(self, server: str) -> bool:
        """Go on where `save` was, before the first request; False where there is nothing that can be used."""
        return self._learning is not None and snapshot.load(self._objects, self._pipeline, server, self._learning)

    def refresh(self) -> bool:
        """Look for a new champion, load it and serve it; True where it changed. Costs one small read where it did not.

        Meant to be called every few seconds from one thread. A champion that does not load leaves the old one serving:
        that is logged as an error, kept in `problem`, and tried again on the next call.
        """
        try:
            changed = self.reload()
        except Exception as error:  # whatever is wrong with the new champion, the old one must go on serving
            said = redact(f"{type(error).__name__}: {error}")
            self._problem = (
                f"{said}. Mend what it names, or: nightloop rollback {as_given(self._pipeline)} --reason '...'"
            )
            log.error(
                "%s: the new champion does not load; %s of %s goes on serving. %s",
                self._pipeline,
                self.version.strategy,
                self.version.name,
                self._problem,
            )
            return False
        self._problem = ""
        return changed

    def reload(self) -> bool:
        """As `refresh`, but a champion that does not load raises; the old one goes on serving all the same."""
        with self._loading:
            tag = _tag(self._objects, self._pipeline)
            if tag == self._now.tag:
                return False
            before, fresh = self._now, _load_champion(self._objects, self._pipeline, tag)
            if fresh.known is not None and self._learning is not None:
                self._learning.renewed(fresh.known, fresh.plan.serving)
            self._now = fresh
        log.info("%s: %s of %s serves now", self._pipeline, self.version.strategy, self.version.name)
        return self._now.entry != before.entry


def _scored(now: Version, question: RecordedRequest) -> ScoredRequest | NightloopError:
    asked = question.asked
    try:
        scores = now.model.score(asked.users, asked.items, asked.features)
    except NightloopError as error:
        return error
    return _uncorrected(now, asked, question.when, scores)


def _uncorrected(now: Version, asked: ScoreRequest, when: str, scores: list[float]) -> ScoredRequest:
    return ScoredRequest(now.name, asked, when, scores, scores, [None] * len(asked))


def _tag(objects: Objects, pipeline: str) -> str:
    found = objects.read(promotion_log.pointer_key(pipeline))
    return found[1] if found else ""


def _load_champion(objects: Objects, pipeline: str, tag: str) -> Version:
    entry = promotion_log.champion(objects, pipeline)
    if entry is None:
        raise NotReady(
            f"{pipeline} has no champion yet: run a night, or promote one by hand: nightloop promote "
            f'{as_given(pipeline)} --strategy NAME --force --reason "why"'
        )
    manifest = manifest_store.by_hash(objects, pipeline, entry.manifest, entry.period)
    if manifest.checkpoints.get(entry.strategy) != entry.checkpoint or manifest.vocabulary != entry.vocabulary:
        raise DataError(
            f"entry {entry.number} of {pipeline}'s promotion log names a checkpoint of {entry.strategy} that its "
            f"manifest {entry.manifest[:12]} does not: one of them was changed. Roll back to a sound champion."
        )
    plan = Plan.model_validate(manifest.plan)
    model = load(objects, plan, entry.checkpoint.weights, entry.vocabulary)
    version = Version(entry, tag, model, plan, None)
    return replace(version, known=known(version.name, model, plan)) if isinstance(model, Clicks) else version
