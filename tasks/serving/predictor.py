"""Predictor: load the champion once, score and recommend many times. It needs neither Prefect nor the lake."""

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
from nightloop.tasks.record.entries import Entry
from nightloop.tasks.serving import snapshot
from nightloop.tasks.serving.ctr_model import Clicks
from nightloop.tasks.serving.load import ServingModel, load_model
from nightloop.tasks.serving.online_learning import Learning, Observed, OnlineModel, with_correctors
from nightloop.tasks.serving.online_score import score_requests, scored_request
from nightloop.tasks.serving.pending_labels import RecordedRequest, ScoredRequest, ScoreRequest, is_row_wise
from nightloop.tasks.serving.ranking_model import top_items

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Version:
    """A loaded champion: the log entry that made it one, the pointer's tag when it was read, the model and its plan.

    A click model has an `online_model` as well: its correctors and what they have learned.
    """

    entry: Entry
    tag: str
    model: ServingModel
    plan: Plan
    online_model: OnlineModel | None

    @property
    def name(self) -> str:
        """Period, strategy and weights: two champions of one name predict the same."""
        return f"{self.entry.name}/{self.entry.strategy}/{self.entry.checkpoint.weights[:12]}"


class Predictor:
    """The champion of one pipeline. Any number of threads may call all methods.

    A new champion takes over by one assignment: a request sees the old one or the new one as a whole. Use
    `Predictor.open`; the probabilities of a click model are corrected by the plan's correctors, which learn from the
    labels in `observe`.

    Parameters
    ----------
    objects : Objects
        The store, as `open_for_reading(Settings())` opens it.
    pipeline : str
        Name of the pipeline.
    version : Version
        The champion that serves first.

    Examples
    --------
    A champion of two users and two items, made by hand instead of `Predictor.open(objects, "shop")`. An unknown user is
    the mean user.

    >>> import torch
    >>> from nightloop.tasks.record.entries import CheckpointRef, Entry
    >>> from nightloop.tasks.serving.id_map import IdMap
    >>> from nightloop.tasks.serving.predictor import Predictor, Version
    >>> from nightloop.tasks.serving.ranking_model import model_from_factors
    >>> ids, ref = IdMap(["a", "b"], {"a": 0, "b": 1}), CheckpointRef(weights="0" * 64, memory="0" * 64)
    >>> model = model_from_factors(torch.tensor([[1.0, 0], [0, 1], [0.5, 0.5]]), torch.tensor([[2.0, 0.0], [1.0, 3.0]]), ids, ids)
    >>> entry = Entry.model_construct(name="2026-01-02", strategy="FineTune", checkpoint=ref)
    >>> predictor = Predictor(None, "shop", Version(entry, "", model, None, None))
    >>> predictor.recommend("a", k=1), predictor.recommend("unknown", k=1), predictor.score(["b"], ["a"])
    ([('a', 2.0)], [('b', 2.0)], [0.0])
    """

    def __init__(self, objects: Objects, pipeline: str, version: Version) -> None:
        self._objects, self._pipeline, self._loading = objects, pipeline, threading.Lock()
        self.now = version  # what serves, as a whole: keep it if several questions must be about the same champion
        self.problem = ""  # why the newest champion could not be loaded and an older one serves
        # what a click model's correctors learn from the labels; None for a ranking model
        self.learning = Learning(version.online_model, version.plan.serving) if version.online_model else None

    @classmethod
    def open(cls, objects: Objects, pipeline: str) -> Predictor:
        """The predictor of the pipeline's champion.

        Raises NotReady if there is none yet, FileNotFoundError if its blobs are gone, DataError if one was changed or
        does not fit.
        """
        return cls(objects, pipeline, _load_champion(objects, pipeline, _tag(objects, pipeline)))

    @property
    def version(self) -> Entry:
        """What serves: its entry in the promotion log, with manifest, period, strategy, and who promoted it and why."""
        return self.now.entry

    def score(
        self,
        users: Sequence[object],
        items: Sequence[object],
        features: Mapping[str, object] | None = None,
        request: str | None = None,
    ) -> list[float]:
        """Score pairs (users[j], items[j]).

        Parameters
        ----------
        users, items : sequence
            n ids each. An unknown id has a defined score: an unknown user is the mean user, an unknown item of a
            ranking model scores 0.
        features : mapping of str to object, optional
            Click models only: every categorical and numeric column of the plan, a value for all rows or a list of n.
        request : str, optional
            Id under which the rows wait for their labels, see `observe`.

        Returns
        -------
        list of float
            n dot products of a ranking model, or n corrected probabilities of a click.

        Raises
        ------
        DataError
            Lengths, features or the id do not fit.
        """
        return list(self.answer(ScoreRequest(users, items, features or {}), request).prediction)

    def answer(self, inputs: ScoreRequest, request: str | None = None, when: str = "") -> ScoredRequest:
        """As `score`, with the prediction before correction and the champion's name; `when` is kept with it."""
        (scored,) = self.score_requests([RecordedRequest(inputs, request, when)])
        if isinstance(scored, NightloopError):
            raise scored
        return scored

    def score_requests(self, requests: Sequence[RecordedRequest]) -> list[ScoredRequest | NightloopError]:
        """As `answer`, for several requests in one pass of the model; the answer to a wrong one is its error."""
        now = self.now
        if now.online_model is not None and self.learning is not None:
            return score_requests(self.learning, now.online_model, requests)
        return [_score_request(now, question) for question in requests]

    def recommend(
        self, user: object, k: int = 10, exclude: Collection[object] = (), features: Mapping[str, object] | None = None
    ) -> list[tuple[str, float]]:
        """The best `k` items of this user as (item id, score), best first, without those in `exclude`.

        A ranking leaves out what the user took up to the champion's night, unless the plan says otherwise. An unknown
        user gets the items of the mean user. Fewer than `k` are returned if there are no more. `features` is
        as for `score`. Raises DataError if `k` is below 1 or features do not fit.
        """
        scored = self.best(user, k, exclude, features or {})
        return list(zip(map(str, scored.inputs.items), scored.prediction, strict=True))

    def best(
        self, user: object, k: int, exclude: Collection[object], features: Mapping[str, object],
        request: str | None = None, when: str = "",
    ) -> ScoredRequest:  # fmt: skip
        """As `recommend`; returns what `answer` returns, for the items that were chosen."""
        now = self.now
        if now.online_model is None or self.learning is None:
            ranked = now.model.recommend(user, k, exclude, features)
            items, scores = [item for item, _ in ranked], [score for _, score in ranked]
            return _without_correction(now, ScoreRequest([user] * len(items), items, features), when, scores)
        clicks = now.online_model.clicks
        base, probability, notes = self.learning.correct(now.online_model, clicks.catalogue(user, features))
        items = [item for item, _ in top_items(probability, k, exclude, clicks.ids["item"])]
        rows = clicks.ids["item"].rows(items)
        chosen_features = {n: [v[row] for row in rows] if is_row_wise(v) else v for n, v in features.items()}
        inputs = ScoreRequest([user] * len(items), items, chosen_features)
        scored = scored_request(
            now.online_model, inputs, when, (base[rows], probability[rows], tuple(note[rows] for note in notes))
        )
        if request is not None:
            self.learning.remember(request, scored)
        return scored

    def observe(self, labels: Sequence[tuple[str, Sequence[float | None]]]) -> Observed:
        """Learn from the labels of served requests: (request id, a label for each row: 0, 1, or None if not known).

        After `predictor.score(users, items, features, request="r1")` of two rows: `predictor.observe([("r1", [0,
        1])])`. Labels may come hours later, in any order, some rows of a request now and others later; each is learned
        once. What cannot be learned is counted (see `Observed`). If a label is not 0, 1 or None it raises DataError,
        and nothing is learned.
        """
        return [Observed(Counter()), *self.observe_in_steps(labels)][-1]

    def observe_in_steps(self, labels: Sequence[tuple[str, Sequence[float | None]]]) -> Iterator[Observed]:
        """As `observe`, a few rows at each step, so that requests can be answered in between."""
        if self.learning is None:
            raise DataError("this champion is a ranking model: there is no probability that a label could correct")
        return self.learning.observe_in_steps(labels)

    def take_snapshot(self) -> bytes:
        """What was learned up to now, for `save`; empty for a ranking model."""
        return b"" if self.learning is None else snapshot.take_snapshot(self.learning)

    def save(self, server: str, data: bytes = b"") -> bool:
        """Write what was learned to the store; False if another server of this name did so at the same time.

        `data`: what `take_snapshot` returned; empty: what was learned up to now. A label that the store has is not learned,
        and its row not recorded, a second time. So record the rows of all labels in `data` first.
        """
        data = data or self.take_snapshot()
        return bool(data) and snapshot.save(self._objects, self._pipeline, server, data)

    def restore(self, server: str) -> bool:
        """Continue from what `save` wrote, before the first request; False if nothing usable is there."""
        return self.learning is not None and snapshot.load_snapshot(
            self._objects, self._pipeline, server, self.learning
        )

    def refresh(self) -> bool:
        """Look for a new champion, load it and serve it; True if it changed. Costs one small read if it did not.

        Call it every few seconds from one thread. If a champion does not load, the old one continues to serve: that is
        logged as an error, kept in `problem`, and tried again at the next call.
        """
        try:
            changed = self.reload()
        except Exception as error:  # whatever is wrong with the new champion, the old one must continue to serve
            message = redact(f"{type(error).__name__}: {error}")
            away = isinstance(error, OSError) and not isinstance(error, FileNotFoundError)
            what = "it is not known whether there is a new champion" if away else "the new champion does not load"
            repair = "" if away else f", or: nightloop rollback {as_given(self._pipeline)} --reason '...'"
            self.problem = f"{what}: {message}. Fix what it names{repair}"
            serves = f"{self.version.strategy} of {self.version.name} continues to serve"
            log.error("%s: %s; %s", self._pipeline, serves, self.problem)
            return False
        self.problem = ""
        return changed

    def reload(self) -> bool:
        """As `refresh`, but raises if a champion does not load; the old one continues to serve."""
        with self._loading:
            tag = _tag(self._objects, self._pipeline)
            if tag == self.now.tag:
                return False
            before, fresh = self.now, _load_champion(self._objects, self._pipeline, tag)
            if fresh.online_model is not None and self.learning is not None:
                self.learning.replace_model(fresh.online_model, fresh.plan.serving)
            self.now = fresh
        log.info("%s: %s of %s serves now", self._pipeline, self.version.strategy, self.version.name)
        return self.now.entry != before.entry


def _score_request(now: Version, question: RecordedRequest) -> ScoredRequest | NightloopError:
    inputs = question.inputs
    try:
        scores = now.model.score(inputs.users, inputs.items, inputs.features)
    except NightloopError as error:
        return error
    return _without_correction(now, inputs, question.when, scores)


def _without_correction(now: Version, inputs: ScoreRequest, when: str, scores: list[float]) -> ScoredRequest:
    return ScoredRequest(now.name, inputs, when, scores, scores, [None] * len(inputs))


def _tag(objects: Objects, pipeline: str) -> str:
    pointer = objects.read(promotion_log.pointer_key(pipeline))
    return pointer[1] if pointer else ""


def _load_champion(objects: Objects, pipeline: str, tag: str) -> Version:
    entry = promotion_log.read_champion(objects, pipeline)
    if entry is None:
        raise NotReady(
            f"{pipeline} has no champion yet: run a night, or promote one by hand: nightloop promote "
            f'{as_given(pipeline)} --strategy NAME --force --reason "why"'
        )
    manifest = manifest_store.manifest_by_hash(objects, pipeline, entry.manifest, entry.period)
    if manifest.checkpoints.get(entry.strategy) != entry.checkpoint or manifest.vocabulary != entry.vocabulary:
        raise DataError(
            f"entry {entry.number} of {pipeline}'s promotion log names a checkpoint of {entry.strategy} that its "
            f"manifest {entry.manifest[:12]} does not: one of them was changed. Roll back to a sound champion."
        )
    plan = Plan.model_validate(manifest.plan)
    model = load_model(objects, plan, entry.checkpoint.weights, entry.vocabulary, manifest.taken)
    version = Version(entry, tag, model, plan, None)
    if not isinstance(model, Clicks):
        return version
    return replace(version, online_model=with_correctors(version.name, model, plan))
