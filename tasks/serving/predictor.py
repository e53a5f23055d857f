"""Predictor: load the champion once, score and recommend many times, notice a new one; for a web service, say.

    predictor = Predictor.open(open_objects(Settings()), "simulated")
    predictor.recommend("u17", k=10, exclude=seen)

Needs neither Prefect nor the lake. All methods may be called from any number of threads.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from tasks.plan.plan import Plan
from tasks.serving.loading import Served, load
from tasks.store import manifests, registry
from tasks.store.objects import Objects
from tasks.store.registry import Entry

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Version:
    """A champion that is loaded: the log entry that made it one, the pointer's tag when it was read, and the model."""

    entry: Entry
    tag: str
    model: Served


class Predictor:
    """The champion of one pipeline. Swaps are one assignment: a request sees the old one or the new one, whole."""

    def __init__(self, objects: Objects, pipeline: str, version: Version) -> None:
        self._objects, self._pipeline, self._now = objects, pipeline, version
        self._loading = threading.Lock()
        self._problem = ""

    @classmethod
    def open(cls, objects: Objects, pipeline: str) -> Predictor:
        """The predictor of the pipeline's champion.

        Raises LookupError where there is none yet, FileNotFoundError where its blobs are gone, ValueError where
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

    def score(
        self, users: Sequence[object], items: Sequence[object], features: Mapping[str, object] | None = None
    ) -> list[float]:
        """One score for each pair (users[j], items[j]); unknown ids get a defined score, never an error.

        Ranking models: the dot product (an unknown user counts as the mean user, an unknown item scores 0). Click
        models: the probability of a click; `features` holds every categorical and numeric column of the plan, one value
        for all rows or a list of one a row. Raises ValueError where lengths or features do not fit.
        """
        if len(users) != len(items):
            raise ValueError(f"{len(users)} users and {len(items)} items were given; give pairs")
        return self._now.model.score(users, items, features or {})

    def recommend(
        self, user: object, k: int = 10, exclude: Collection[object] = (), features: Mapping[str, object] | None = None
    ) -> list[tuple[str, float]]:
        """The best `k` items of this user as (item id, score), best first, without those in `exclude`.

        An unknown user gets the items of the mean user (see `factors.py`). Fewer than `k` where there are no more.
        Raises ValueError where k is below 1 or features do not fit.
        """
        return self._now.model.recommend(user, k, exclude, features or {})

    def refresh(self) -> bool:
        """Look for a new champion, load it and serve it; True where it changed. Costs one small read where it did not.

        Meant to be called every few seconds from one thread. A champion that does not load leaves the old one serving:
        that is logged as an error, kept in `problem`, and tried again on the next call.
        """
        try:
            changed = self.reload()
        except Exception as error:  # whatever is wrong with the new champion, the old one must go on serving
            self._problem = f"{type(error).__name__}: {error}"
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
            before, self._now = self._now, _load_champion(self._objects, self._pipeline, tag)
        log.info("%s: %s of %s serves now", self._pipeline, self.version.strategy, self.version.name)
        return self._now.entry != before.entry


def _tag(objects: Objects, pipeline: str) -> str:
    found = objects.read(registry.pointer_key(pipeline))
    return found[1] if found else ""


def _load_champion(objects: Objects, pipeline: str, tag: str) -> Version:
    entry = registry.champion(objects, pipeline)
    if entry is None:
        raise LookupError(
            f"{pipeline} has no champion yet: run a night, or promote one by hand (nightloop promote {pipeline})"
        )
    manifest = manifests.by_hash(objects, pipeline, entry.manifest, entry.period)
    if manifest.checkpoints.get(entry.strategy) != entry.checkpoint or manifest.vocabulary != entry.vocabulary:
        raise ValueError(
            f"entry {entry.number} of {pipeline}'s promotion log names a checkpoint of {entry.strategy} that its "
            f"manifest {entry.manifest[:12]} does not: one of them was changed. Roll back to a sound champion."
        )
    model = load(objects, Plan.model_validate(manifest.plan), entry.checkpoint.weights, entry.vocabulary)
    return Version(entry, tag, model)
