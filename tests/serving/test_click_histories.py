"""A click model of histories behind the predictor: what it is given, what it takes where nothing is given."""

from __future__ import annotations

import pytest
import torch

from nightloop.tasks.models import build
from nightloop.tasks.serving.ctr_model import Clicks
from nightloop.tasks.serving.load import build_model
from nightloop.tasks.training.predict import predict
from tests.serving import make_store as made

PLAN = made.click_plan().model_copy(
    update={
        "columns": made.click_plan().columns.model_copy(update={"history_length": 3}),
        "model": made.click_plan().model.model_copy(update={"use": "EmbeddingMLP"}),
    }
)
CONTEXT = {"device": "d1", "age": 0.5}


@pytest.fixture(scope="module")
def clicks() -> Clicks:
    model = build("EmbeddingMLP", PLAN.model.options, ("user", "item", "device"), 1, 3)
    words, g = made.vocabulary(PLAN), torch.Generator().manual_seed(0)
    tables = {f"table.{f}": torch.randn(len(words.ids[f]), model.width, generator=g) for f in model.fields}
    latest = torch.zeros(made.USERS, 3, dtype=torch.int64)
    latest[2] = torch.tensor([0, 5, 8])  # i4, then i7
    found = build_model(PLAN, {**tables, **model.dense(g), "kept/latest/table.user": latest}, words)
    assert isinstance(found, Clicks)
    return found


def score(clicks: Clicks, user: str, **more: object) -> float:
    return clicks.score([user], ["i9"], {**CONTEXT, **more})[0]


def test_without_a_history_it_is_the_one_of_the_champions_night(clicks: Clicks) -> None:
    assert score(clicks, "u2") == score(clicks, "u2", history="i4|i7")
    assert score(clicks, "u3") == score(clicks, "u3", history="")
    assert score(clicks, "nobody") == score(clicks, "nobody", history="")
    assert score(clicks, "u2") != score(clicks, "u2", history="")


def test_a_history_given_is_what_the_model_reads(clicks: Clicks) -> None:
    logs = clicks.encoded(["u2", "u2"], ["i9", "i1"], {**CONTEXT, "history": ["i1|i2|i3|i4", "i5|unheard of"]})
    assert logs.history.tolist() == [[2, 3, 4], [-1, 5, -1]]
    expected = torch.sigmoid(predict(clicks.model, clicks.weights, logs)).tolist()
    features = {**CONTEXT, "history": ["i1|i2|i3|i4", "i5|unheard of"]}
    assert clicks.score(["u2", "u2"], ["i9", "i1"], features) == expected
    assert clicks.score(["u2"], ["i1"], {**CONTEXT, "history": "i5"})[0] == pytest.approx(expected[1], abs=1e-6)


def test_one_history_for_a_whole_catalogue(clicks: Clicks) -> None:
    best = clicks.recommend("u2", 3, (), {**CONTEXT, "history": "i1|i2"})
    assert clicks.score(["u2"], [best[0][0]], {**CONTEXT, "history": "i1|i2"})[0] == pytest.approx(best[0][1], abs=1e-6)


def test_what_is_no_history_is_refused(clicks: Clicks) -> None:
    with pytest.raises(ValueError, match="history must be text with"):
        score(clicks, "u2", history=[7])
    with pytest.raises(ValueError, match="history has 2 values for 1 rows"):
        score(clicks, "u2", history=["i1", "i2"])
