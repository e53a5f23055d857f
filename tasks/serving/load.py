"""Loads a model that serves from blobs; every byte is checked against its hash before it is parsed."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from typing import Protocol, cast

from nightloop.tasks.data.vocabulary import Vocabulary
from nightloop.tasks.data.vocabulary import vocabulary_from_bytes as vocabulary_from
from nightloop.tasks.evaluation.rank import ranking_parts
from nightloop.tasks.models import build
from nightloop.tasks.modules.checkpoint import Weights
from nightloop.tasks.modules.checkpoint import from_bytes as weights_from
from nightloop.tasks.modules.fused_tables import table_sizes
from nightloop.tasks.modules.model import Factored
from nightloop.tasks.objects import blobs
from nightloop.tasks.objects.objects import Objects
from nightloop.tasks.plan.errors import DataError
from nightloop.tasks.plan.plan import Plan
from nightloop.tasks.record.manifest import TakenPart
from nightloop.tasks.record.taken_items import load_taken_items
from nightloop.tasks.serving.ctr_model import Clicks
from nightloop.tasks.serving.id_map import id_map
from nightloop.tasks.serving.ranking_model import Factors, model_from_factors


class ServingModel(Protocol):
    """A loaded model: frozen, so that any number of threads may call it."""

    def score(self, users: Sequence[object], items: Sequence[object], features: Mapping[str, object]) -> list[float]:
        """One score a row."""

    def recommend(
        self, user: object, k: int, exclude: Collection[object], features: Mapping[str, object]
    ) -> list[tuple[str, float]]:
        """The best items, best first."""


def load_model(
    objects: Objects, plan: Plan, weights: str, vocabulary: str, taken: Sequence[TakenPart] = ()
) -> ServingModel:
    """The model of `plan` with the weights and vocabulary of these hashes, ready to serve.

    `taken` is what users took, which a ranking model does not recommend to them again. Raises
    FileNotFoundError if a blob is gone, DataError if one was changed or the parts do not fit each other.
    """
    model = build_model(
        plan, weights_from(blobs.get(objects, weights)), vocabulary_from(blobs.get(objects, vocabulary))
    )
    if not taken or not isinstance(model, Factors):
        return model
    return replace(model, taken=load_taken_items(objects, taken, len(model.user_ids)))


def build_model(plan: Plan, weights: Weights, vocabulary: Vocabulary) -> ServingModel:
    """As `load_model`, from values in memory."""
    columns = plan.columns
    fields, numbers = ("user", "item", *columns.categorical), len(columns.numeric)
    model = build(plan.model.use, plan.model.options, fields, numbers, columns.history_length)
    sizes = table_sizes(model, weights)
    ids = {field: id_map(vocabulary, field) for field in fields}
    wrong = [f"{f}: {n} rows, {len(ids[f])} ids" for f, n in zip(model.fields, sizes, strict=True) if n != len(ids[f])]
    if wrong:
        raise DataError(f"checkpoint and vocabulary are of different nights: {'; '.join(wrong)}")
    if model.family == "ranking":
        users, items, pairs = ranking_parts(cast(Factored, model).factors, weights)
        return model_from_factors(users, items[:-1], ids["user"], ids["item"], pairs)
    return Clicks(model, weights, ids, columns.categorical, columns.numeric, columns.multi_value)
