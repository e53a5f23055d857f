"""GRU4Rec, Caser and Embedding & MLP against their formulas written out, their gradients, and whose items they are given."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch

from nightloop.tasks.data.histories import with_histories
from nightloop.tasks.data.logs import Logs
from nightloop.tasks.evaluation.rank import from_weights
from nightloop.tasks.layers.sequence import BLOCK
from nightloop.tasks.layers.state import with_state
from nightloop.tasks.models import build
from nightloop.tasks.models.caser import Caser
from nightloop.tasks.models.embedding_mlp import EmbeddingMLP
from nightloop.tasks.models.gru4rec import GRU4Rec
from nightloop.tasks.modules.lookup import lookup
from nightloop.tasks.modules.train_config import TrainConfig
from nightloop.tasks.training.fit import fit
from nightloop.tasks.training.predict import predict
from nightloop.tasks.training.resize import initial_weights
from nightloop.tasks.training.step import StepRows, step_entries
from tests.models.make_logs import make, same

L = 4
LOGS = with_histories(make((7, 9, 3), 40, numeric=2, labels=True), L)
MODELS = {
    "GRU4Rec": GRU4Rec(L, width=3),
    "Caser": Caser(L, width=3, horizontal=2, vertical=2),
    "EmbeddingMLP": EmbeddingMLP(("user", "item", "c0"), L, numeric=2, width=3, hidden=(5, 4)),
}
SHORT = TrainConfig(epochs=2, batch_size=16)


def weights_of(name: str, logs: Logs = LOGS) -> dict[str, torch.Tensor]:
    """Weights of a size that shows."""
    g = torch.Generator().manual_seed(1)
    return {n: torch.randn(t.shape, generator=g) * 0.7 for n, t in initial_weights(MODELS[name], logs).items()}


def row_logits(name: str, weights: dict[str, torch.Tensor], logs: Logs) -> torch.Tensor:
    """Logits of the logs' own rows, each with its own history, as training has them."""
    model = MODELS[name]
    positions, _, ids = step_entries(model, logs, StepRows(torch.arange(len(logs))))
    sizes = [len(weights[f"table.{field}"]) for field in model.fields]
    look = lookup(model, sizes, logs, 0)
    table = torch.cat([weights[f"table.{field}"] for field in model.fields])
    embedded = look.embedded(table[look.rows(positions, ids)], positions, ids)
    return model.logits(embedded, logs.numeric, weights)


def times(matrix: torch.Tensor, vector: list[float]) -> list[float]:
    return [sum(a * b for a, b in zip(line, vector, strict=True)) for line in matrix.tolist()]


def sigmoid(x: float) -> float:
    return 1 / (1 + math.exp(-x))


def literal_gru4rec(w, user: int, item: int, history: list[int]) -> float:
    """Over the items that are there; those that are not are not looked at."""
    d, h = 3, [0.0] * 3
    for row in (row for row in history if row >= 0):
        x = w["table.item"][row, :d].tolist()
        r, z, c = (times(w["input"][k * d : (k + 1) * d], x) for k in range(3))
        r = [sigmoid(a + b) for a, b in zip(r, times(w["gates"][:d], h), strict=True)]
        z = [sigmoid(a + b) for a, b in zip(z, times(w["gates"][d:], h), strict=True)]
        held = times(w["candidate"], [p * q for p, q in zip(r, h, strict=True)])
        c = [math.tanh(a + b) for a, b in zip(c, held, strict=True)]
        h = [(1 - k) * old + k * new for k, old, new in zip(z, h, c, strict=True)]
    *e, b = w["table.item"][item].tolist()
    return sum(p * q for p, q in zip(times(w["output"], h), e, strict=True)) + b


def literal_caser(w, user: int, item: int, history: list[int]) -> float:
    d = 3
    image = [w["table.item"][row, :d].tolist() if row >= 0 else [0.0] * d for row in history]
    o = []
    for height in range(1, L + 1):
        for k in range(2):
            filter_, bias = w[f"horizontal.{height}.weight"][k].tolist(), float(w[f"horizontal.{height}.bias"][k])
            places = [
                sum(filter_[c][t] * image[top + t][c] for t in range(height) for c in range(d)) + bias
                for top in range(L - height + 1)
            ]
            o.append(max(max(value, 0.0) for value in places))
    vertical = list(zip(w["vertical.weight"].tolist(), w["vertical.bias"].tolist(), strict=True))
    sums = [sum(f[t] * image[t][c] for t in range(L)) + b for c in range(d) for f, b in vertical]
    layer = times(w["layer.weight"], [*o, *sums])
    z = [max(value + b, 0.0) for value, b in zip(layer, w["layer.bias"].tolist(), strict=True)]
    told = [*z, *w["table.user"][user, :d].tolist()]
    v, b = w["table.item"][item, d:-1].tolist(), float(w["table.item"][item, -1])
    return sum(p * q for p, q in zip(told, v, strict=True)) + b


@pytest.mark.parametrize(("name", "literal"), [("GRU4Rec", literal_gru4rec), ("Caser", literal_caser)])
def test_ranking_models_are_their_formulas(name, literal):
    weights = weights_of(name)
    found = row_logits(name, weights, LOGS).tolist()
    for n, (user, item) in enumerate(LOGS.rows[:, :2].tolist()):
        expected = literal(weights, user, item, LOGS.history[n].tolist())
        assert found[n] == pytest.approx(expected, rel=1e-4, abs=1e-5)
    night = {**weights, "kept/latest/table.user": LOGS.latest + 1}
    users, items = MODELS[name].factors(night)
    for user in range(7):
        for item in range(9):
            expected = literal(weights, user, item, LOGS.latest[user].tolist())
            assert float(users[user] @ items[item]) == pytest.approx(expected, rel=1e-4, abs=1e-5)


def test_embedding_mlp_is_its_formula():
    w = weights_of("EmbeddingMLP")
    found = predict(MODELS["EmbeddingMLP"], w, LOGS).tolist()
    for n, ids in enumerate(LOGS.rows.tolist()):
        values = [x for f, row in zip(LOGS.fields, ids, strict=True) for x in w[f"table.{f}"][row].tolist()]
        past = [w["table.item"][row].tolist() for row in LOGS.history[n].tolist() if row >= 0]
        values += [sum(column) / len(past) for column in zip(*past, strict=True)] if past else [0.0] * 3
        for x, row in zip(LOGS.numeric[n].tolist(), w["numeric"].tolist(), strict=True):
            values += [math.copysign(math.log(1 + abs(x)), x) * value for value in row]
        for place in range(3):
            lines = times(w[f"layers.{place}.weight"], values)
            values = [value + b for value, b in zip(lines, w[f"layers.{place}.bias"].tolist(), strict=True)]
            values = [max(value, 0.0) for value in values] if place < 2 else values
        assert found[n] == pytest.approx(values[0], rel=1e-4, abs=1e-5)
    assert found == pytest.approx(row_logits("EmbeddingMLP", w, LOGS).tolist(), rel=1e-5)


@pytest.mark.parametrize("name", MODELS)
def test_gradients(name):
    model, weights = MODELS[name], {n: t.double() for n, t in weights_of(name).items()}
    few = LOGS.select(torch.tensor([0, 5, 20, 39]))  # the first has no history
    assert bool((few.history[0] == -1).all())
    names = [n for n in weights if not n.startswith("table.")]
    positions, _, ids = step_entries(model, few, StepRows(torch.arange(4)))
    sizes = [len(weights[f"table.{field}"]) for field in model.fields]
    look = lookup(model, sizes, few, 0)
    values = torch.cat([weights[f"table.{f}"] for f in model.fields])[look.rows(positions, ids)].requires_grad_()

    def logits(values, *dense):
        embedded = look.embedded(values, positions, ids)
        return model.logits(embedded, few.numeric.double(), dict(zip(names, dense, strict=True)))

    assert torch.autograd.gradcheck(logits, (values, *(weights[n].requires_grad_() for n in names)))


@pytest.mark.parametrize("name", ["GRU4Rec", "Caser"])
def test_nobodys_vector_depends_on_who_else_there_is(name):
    weights = weights_of(name)
    latest = LOGS.latest + 1
    few = MODELS[name].factors({**weights, "kept/latest/table.user": latest})[0]
    more = torch.cat([latest, latest.new_zeros(BLOCK, L)])
    longer = {n: torch.cat([t, t.new_zeros(BLOCK, t.shape[1])]) if n == "table.user" else t for n, t in weights.items()}
    assert torch.equal(MODELS[name].factors({**longer, "kept/latest/table.user": more})[0][:7], few)


@pytest.mark.parametrize("name", ["GRU4Rec", "Caser"])
def test_strangers_rank_as_the_mean_user_and_new_items_as_one_nobody_took(name):
    weights = {**weights_of(name), "kept/latest/table.user": LOGS.latest + 1}
    ranker = from_weights(MODELS[name].factors, weights)
    scores = ranker(torch.tensor([7, 99]), torch.tensor([0, 8, 9, 50]))
    assert torch.equal(scores[0], scores[1]) and torch.equal(scores[0, 2], scores[0, 3])
    known = ranker(torch.arange(7), torch.tensor([0, 8, 9, 50]))
    torch.testing.assert_close(scores[0], known.mean(0), rtol=1e-4, atol=1e-5)
    literal = {"GRU4Rec": literal_gru4rec, "Caser": literal_caser}[name]
    beginner = MODELS[name].factors({**weights, "kept/latest/table.user": torch.zeros_like(LOGS.latest)})
    assert float(beginner[0][3] @ beginner[1][8]) == pytest.approx(literal(weights, 3, 8, [-1] * L), rel=1e-4, abs=1e-5)


def test_items_unknown_to_the_table_count_as_none():
    weights = weights_of("EmbeddingMLP")
    later = replace(LOGS, history=torch.cat([LOGS.history[:, 1:], torch.full((40, 1), 50)], 1))
    without = replace(LOGS, history=torch.cat([torch.full((40, 1), -1), LOGS.history[:, 1:]], 1))
    model = MODELS["EmbeddingMLP"]
    torch.testing.assert_close(predict(model, weights, later), predict(model, weights, without))


@pytest.mark.parametrize("name", MODELS)
def test_a_night_keeps_what_each_user_took_last(name):
    night = with_state(MODELS[name], weights_of(name), LOGS)
    assert torch.equal(night.keep()["latest/table.user"], LOGS.latest + 1)
    assert MODELS[name].night is None, "a model at a night is another one"


def test_within_a_night_users_are_those_of_the_close_before():
    weights = weights_of("GRU4Rec")
    before = torch.zeros(5, L, dtype=torch.int64)
    before[0, -1] = 3
    night = MODELS["GRU4Rec"].at(weights, {"latest/table.user": before}, LOGS)
    users, _ = night.factors(weights)
    expected = literal_gru4rec(weights, 0, 1, [-1, -1, -1, 2])
    assert float(users[0] @ weights["table.item"][1]) == pytest.approx(expected, rel=1e-4)
    assert torch.equal(users[5], users[1]) and not bool(users[1, :-1].any()), "who took nothing is at nought"


@pytest.mark.parametrize("name", MODELS)
def test_rows_in_no_history_and_no_row_stay(name):
    """Only rows that are used are learned: those of a history too, and nothing for places without an item."""
    model, few = MODELS[name], LOGS.select(torch.tensor([30]))
    few = replace(few, sizes=(7, 9, 3))
    weights = weights_of(name)
    fitted = fit(model, weights, few, replace(SHORT, batch_size=1, epochs=1)).weights
    moved = (fitted["table.item"] != weights["table.item"]).any(1).nonzero().flatten().tolist()
    used = {int(few.rows[0, 1]), *few.history[0].tolist()} - {-1}
    assert used <= set(moved) and len(set(moved) - used) <= (model.family == "ranking"), "one negative at most"


def test_training_changes_nothing_it_was_given_and_is_the_same_again():
    for name, model in MODELS.items():
        weights = weights_of(name)
        before = {n: t.clone() for n, t in weights.items()}
        once, again = (fit(model, weights, LOGS, SHORT).weights for _ in range(2))
        assert same(once, again) and same(before, weights), name


def test_order_is_learned():
    """The next item is the one after the last on a ring: no other model of users and items can know."""
    g = torch.Generator().manual_seed(0)
    first = torch.randint(8, (300,), generator=g)
    rows = torch.stack([torch.arange(300).repeat_interleave(5), (first[:, None] + torch.arange(5)).flatten() % 8], 1)
    n = len(rows)
    logs = replace(make((300, 8), n), rows=rows, history=torch.zeros(n, 0, dtype=torch.int64))
    logs = with_histories(replace(logs, latest=torch.zeros(300, 0, dtype=torch.int64)), 3)
    for model in (GRU4Rec(3, width=8), Caser(3, width=8, horizontal=4, vertical=2)):
        training = TrainConfig(epochs=12, batch_size=128, lr=0.1, dense_lr=0.01)
        weights = fit(model, initial_weights(model, logs), logs, training).weights
        users, items = with_state(model, weights, logs).factors({**weights, "kept/latest/table.user": logs.latest + 1})
        best = (users @ items.T).scatter(1, logs.latest, -torch.inf).argmax(1)  # negatives are never items taken
        assert float((best == (logs.latest[:, -1] + 1) % 8).float().mean()) > 0.9, type(model).__name__


def test_what_does_not_fit_is_refused():
    with pytest.raises(ValueError, match=r"history: given 0; .*set columns.history_length to 1 or more"):
        build("GRU4Rec", {}, ("user", "item"), 0)
    assert build("Caser", {"width": 8}, ("user", "item"), 0, 5).history == 5
    with pytest.raises(ValueError, match="reads the last 4 items of a user, the logs have 2"):
        fit(MODELS["GRU4Rec"], weights_of("GRU4Rec"), with_histories(LOGS, 2), SHORT)
    with pytest.raises(ValueError, match=r"lack kept/latest/table\.user"):
        MODELS["GRU4Rec"].factors(weights_of("GRU4Rec"))
