"""LightGCN against the paper's formula written out with dense matrices, and its graph from night to night."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch.nn.functional import binary_cross_entropy_with_logits

from nightloop.tasks.data.logs import Logs
from nightloop.tasks.layers.interaction_graph import Graph, full_graph, incremental_graph, load_graph
from nightloop.tasks.layers.propagation import GraphShape
from nightloop.tasks.layers.state import with_state, without_state
from nightloop.tasks.meta.transfer import Transfer
from nightloop.tasks.models.lightgcn import LightGCN
from nightloop.tasks.modules.fused_tables import fuse
from nightloop.tasks.modules.lookup import lookup
from nightloop.tasks.modules.loss import cross_entropy
from nightloop.tasks.modules.train_config import TrainConfig
from nightloop.tasks.retraining.advance import fold, pretrain, start_chain
from nightloop.tasks.retraining.contract_chains import run_chain
from nightloop.tasks.retraining.contract_data import simulated_periods
from nightloop.tasks.retraining.prequential_loss import weights_at_close
from nightloop.tasks.strategies.asmg import ASMG
from nightloop.tasks.strategies.fine_tune import FineTune
from nightloop.tasks.strategies.full_retrain import FullRetrain
from nightloop.tasks.strategies.hedge import Hedge
from nightloop.tasks.strategies.no_update import NoUpdate
from nightloop.tasks.strategies.sml import SML
from nightloop.tasks.training.fit import fit
from nightloop.tasks.training.predict import predict
from nightloop.tasks.training.resize import grow, initial_weights

SHORT = TrainConfig(epochs=2, batch_size=16)
FULL = LightGCN(width=4, layers=3)
PERIODS = simulated_periods("ranking")
FIRST = PERIODS[0]


def adjacency(logs: Logs, sizes: tuple[int, ...]) -> torch.Tensor:
    """A [U + I, U + I] with a one for each pair of the logs."""
    found = torch.zeros(sum(sizes), sum(sizes), dtype=torch.float64)
    for user, item in logs.rows.tolist():
        found[user, sizes[0] + item] = found[sizes[0] + item, user] = 1
    return found


def normalised(matrix: torch.Tensor, degree: torch.Tensor) -> torch.Tensor:
    pace = torch.where(degree > 0, degree.rsqrt(), 0.0)
    return pace[:, None] * matrix * pace


def dense(logs: Logs, table: torch.Tensor, layers: int, sizes: tuple[int, ...]) -> list[torch.Tensor]:
    """E^0, ..., E^L as in equations 3 and 4 of the paper, in float64."""
    matrix = adjacency(logs, sizes)
    step, found = normalised(matrix, matrix.sum(1)), [table.double()]
    for _ in range(layers):
        found.append(step @ found[-1])
    return found


def mean(layers: list[torch.Tensor]) -> torch.Tensor:
    return torch.stack(layers).mean(0)


def close(left: torch.Tensor, right: torch.Tensor) -> bool:
    return torch.allclose(left.double(), right.double(), rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("layers", [1, 2, 3])
@pytest.mark.parametrize("biases", [False, True])
@pytest.mark.parametrize("form", ["full", "incremental"])
def test_what_is_served_is_the_formula(layers: int, biases: bool, form: str) -> None:
    model = LightGCN(width=4, layers=layers, graph=form, biases=biases)
    made = start_chain(model, NoUpdate(), initial_weights(model, FIRST), FIRST)
    table = fuse(made.weights, model.fields)
    expected = mean(dense(FIRST, table[:, :4], layers, FIRST.sizes))
    users, items = model.factors(made.weights)
    scores = expected[: FIRST.sizes[0]] @ expected[FIRST.sizes[0] :].T
    if biases:
        table[:, 4] = torch.arange(len(table))
        weights = {**made.weights, "table.user": table[: FIRST.sizes[0]], "table.item": table[FIRST.sizes[0] :]}
        users, items = model.factors(weights)
        scores += table[: FIRST.sizes[0], 4:] + table[FIRST.sizes[0] :, 4]
    assert close(users @ items.T, scores)
    assert close(predict(model, made.weights, FIRST), (users @ items.T)[*FIRST.rows.T]) or biases


def test_ids_without_links_have_their_own_row_over_all_layers() -> None:
    made = start_chain(FULL, NoUpdate(), initial_weights(FULL, FIRST), FIRST)
    grown = grow(FULL, made, PERIODS[1])
    users, items = FULL.factors(grown.weights)
    for found, field, size in ((users, "user", FIRST.sizes[0]), (items, "item", FIRST.sizes[1])):
        assert len(found) > size
        assert close(found[size:], grown.weights[f"table.{field}"][size:] / 4)
        assert close(found[:size], FULL.factors(made.weights)[0 if field == "user" else 1]), "others stay as they were"
    unknown = FIRST.select(torch.arange(1))
    unknown = replace(unknown, rows=torch.tensor([[10_000, 0]]))
    assert predict(FULL, made.weights, unknown).tolist() == [0.0]


def test_an_empty_graph_is_factorisation_of_smaller_rows() -> None:
    none = FIRST.select(torch.zeros(0, dtype=torch.int64))
    made = start_chain(FULL, NoUpdate(), initial_weights(FULL, FIRST), none)
    assert close(FULL.factors(made.weights)[0], made.weights["table.user"] / 4)


@pytest.mark.parametrize("form", ["full", "incremental"])
@pytest.mark.parametrize("biases", [False, True])
def test_one_step_by_hand_is_one_by_autograd_and_through_dense_matrices(form: str, biases: bool) -> None:
    """All rows of a period in one step, against plain autograd of E(E^0) written out."""
    model = LightGCN(width=4, layers=2, graph=form, links="own", biases=biases, scale=0.5)
    before = start_chain(model, NoUpdate(), initial_weights(model, FIRST), FIRST)
    logs = PERIODS[1].since(1)
    grown = grow(model, before, logs)
    night = with_state(model, grown.weights, logs)
    training = TrainConfig(epochs=1, batch_size=10_000, lr=0.1, l2=0.05)
    by_hand = fit(night, without_state(grown.weights), logs, training).weights
    seen = []

    def loss(batch):
        seen.append(batch)
        return cross_entropy(batch)

    by_autograd = fit(night, without_state(grown.weights), logs, training, loss).weights
    assert all(close(by_hand[name], by_autograd[name]) for name in by_hand)
    assert any(bool((by_hand[name] != grown.weights[name]).any()) for name in by_hand)

    table, sizes = fuse(grown.weights, model.fields).double().requires_grad_(), logs.sizes
    own, (ids, label) = table[:, :4], (seen[0].rows, seen[0].label)
    if form == "full":
        layers = dense(PERIODS[1], own, 2, sizes)
    else:
        old, new = adjacency(FIRST, sizes), adjacency(logs, sizes)
        past = dense(FIRST, fuse(grown.weights, model.fields)[:, :4], 2, sizes)
        total = old.sum(1) + new.sum(1)
        scale = torch.where(total > 0, (old.sum(1) / total.clamp(min=1)).sqrt(), 0.0)[:, None]
        step, layers = normalised(new, total), [own]
        for number in (1, 2):
            layers.append(scale * past[number] + step @ layers[-1])
    shown = torch.cat([mean(layers), table[:, 4:]], 1)
    logits = model.logits(torch.stack([shown[ids[:, 0]], shown[ids[:, 1] + sizes[0]]], 1), logs.numeric, {})
    occurring = torch.cat([ids[: seen[0].taken, 0], ids[:, 1] + sizes[0]])  # a user once for each positive
    times = torch.bincount(occurring, minlength=len(table))
    total_loss = binary_cross_entropy_with_logits(logits, label.double(), reduction="sum")
    total_loss = total_loss + 0.5 * 0.05 * (times[:, None] * table**2).sum()
    (gradient,) = torch.autograd.grad(total_loss, table)
    pace = gradient.square().mean(1, keepdim=True).sqrt() + 1e-8  # the first step of row-wise Adagrad
    assert close(fuse(by_hand, model.fields), table.detach() - 0.1 * gradient / pace)


def test_incremental_layers_meet_the_full_ones_where_nothing_old_changes() -> None:
    """New links among new ids alone: their rows, and everybody else's, are those of the full graph."""
    apart = FIRST.rows + torch.tensor(FIRST.sizes)
    sizes = tuple(2 * size for size in FIRST.sizes)
    later = replace(FIRST, period=1, periods=torch.ones_like(FIRST.periods), rows=apart, sizes=sizes)
    weights = {f"table.{f}": torch.randn(n, 4) for f, n in zip(("user", "item"), sizes, strict=True)}
    shape = GraphShape(2, 4, sizes)
    before = full_graph(load_graph({}), FIRST)
    one, two = full_graph(before, later), incremental_graph(before, weights, later, shape)
    table = fuse(weights, ("user", "item"))
    assert close(one.propagation(shape).propagate(table), two.propagation(shape).propagate(table))
    assert len(two.edges) < len(one.edges)


def test_the_graph_has_each_pair_once_as_it_was_first_seen() -> None:
    graph = load_graph({})
    for logs in PERIODS:
        graph = full_graph(graph, logs.since(logs.period))
    assert torch.equal(graph.edges, full_graph(load_graph({}), PERIODS[-1]).edges), "night by night is all at once"
    pairs = {(u, i) for u, i, _ in graph.edges.tolist()}
    assert len(pairs) == len(graph.edges) == len({tuple(row) for row in PERIODS[-1].rows.tolist()})
    assert torch.equal(graph.until(2).edges, full_graph(load_graph({}), PERIODS[2]).edges)
    assert torch.equal(full_graph(graph, PERIODS[-1]).edges, graph.edges), "delivered again"


def test_an_incremental_graph_keeps_the_newest_links_and_a_past_of_fixed_size() -> None:
    model = LightGCN(width=4, layers=2, graph="incremental")
    chain = run_chain(model, FineTune(SHORT), PERIODS)
    for checkpoint, logs in zip(chain, PERIODS, strict=True):
        edges, own = checkpoint.weights["kept/edges"], logs.since(logs.period)
        assert {(u, i) for u, i, _ in edges.tolist()} == {tuple(row) for row in own.rows.tolist()}
    seen = PERIODS[2].rows.unique(dim=0)
    assert float(chain[3].weights["kept/past/degree/table.user"].sum()) >= len(seen)


def test_what_is_judged_sees_no_link_of_its_own_night() -> None:
    for form in ("full", "incremental"):
        model = LightGCN(width=4, layers=2, graph=form)
        paper = LightGCN(width=4, layers=2, graph=form, links="own")
        chain = run_chain(model, FineTune(SHORT), PERIODS[:2])
        logs = PERIODS[2]
        grown = grow(model, chain[1], logs)
        night, own = with_state(model, grown.weights, logs), with_state(paper, grown.weights, logs)
        assert torch.equal(night.factors(without_state(grown.weights))[0], model.factors(grown.weights)[0]), form
        alone = weights_at_close(without_state(grown.weights), logs, 1)  # as it was: tonight's new ids have no row
        assert len(alone["table.user"]) < len(grown.weights["table.user"])
        for of_all, of_known in zip(night.factors(without_state(grown.weights)), night.factors(alone), strict=True):
            assert torch.equal(of_all[: len(of_known)], of_known), form
        sizes = [*logs.sizes]
        judged, trained = (lookup(at, sizes, logs, period).over for at, period in ((night, 1), (own, 2)))
        assert lookup(night, sizes, logs, 2).over is judged, "trained as it will be served"
        new = logs.rows[logs.periods == 2, 0].unique()
        assert (judged.degree <= trained.degree).all() and judged.degree[new].sum() < trained.degree[new].sum()
        other = replace(logs, rows=logs.rows.clone())
        other.rows[logs.periods == 2] = other.rows[logs.periods == 2].flip(0)
        again = lookup(with_state(model, grown.weights, other), sizes, other, 1).over
        assert torch.equal(again.degree, judged.degree) and (again.matrix != judged.matrix).nnz == 0


def test_an_empty_night_changes_nothing_that_is_served() -> None:
    for form in ("full", "incremental"):
        model = LightGCN(width=4, layers=2, graph=form)
        made = run_chain(model, FineTune(SHORT), PERIODS[:2])[-1]
        logs = replace(PERIODS[1].select(PERIODS[1].periods > 1), period=2)
        after = fold(model, FineTune(SHORT), made, logs)
        assert all(close(x, y) for x, y in zip(model.factors(made.weights), model.factors(after.weights), strict=True))
        assert int(after.weights["kept/period"]) == 2


def test_the_past_of_an_incremental_graph_is_what_was_served() -> None:
    model = LightGCN(width=4, layers=2, graph="incremental")
    made = run_chain(model, FineTune(SHORT), PERIODS[:1])[-1]
    table = fuse(made.weights, model.fields)
    after = fold(model, FineTune(SHORT), made, PERIODS[1])
    layers = dense(FIRST, table, 2, FIRST.sizes)
    for number in (1, 2):
        found = after.weights[f"kept/past/layer/{number}/table.user"]
        assert close(found[: FIRST.sizes[0]], layers[number][: FIRST.sizes[0]]) and not found[FIRST.sizes[0] :].any()


def test_training_learns_and_a_fresh_start_keeps_the_graph() -> None:
    periods = simulated_periods("ranking", rows=400)
    for form in ("full", "incremental"):
        model = LightGCN(width=8, graph=form)
        weights = pretrain(model, FullRetrain(TrainConfig(epochs=15, batch_size=64), begin="scratch"), periods[0])
        made = start_chain(model, NoUpdate(), weights, periods[0])
        assert torch.equal(made.weights["kept/edges"], weights["kept/edges"])
        users, items = model.factors(made.weights)
        scores = users @ items.T
        taken = torch.zeros_like(scores, dtype=torch.bool)
        taken[periods[0].rows[:, 0], periods[0].rows[:, 1]] = True
        assert scores[taken].mean() > scores[~taken].mean() + 0.3, form
    scratch = FullRetrain(SHORT, begin="scratch", window=1)
    last = fold(FULL, scratch, start_chain(FULL, scratch, initial_weights(FULL, periods[0]), periods[0]), periods[1])
    assert torch.equal(last.weights["kept/edges"], full_graph(load_graph({}), periods[1]).edges)


def test_the_graph_is_the_same_whatever_a_strategy_makes_of_the_tables() -> None:
    quick = TrainConfig(epochs=1, batch_size=64)
    transfer = SML(transfer=Transfer("average"), rounds=1, learner_training=quick, transfer_training=quick)
    ones = (FineTune(quick), transfer, ASMG(FineTune(quick), window=1, training=quick), Hedge((FineTune(quick),)))
    ends = [run_chain(FULL, strategy, PERIODS[:4])[-1] for strategy in ones]
    assert all(torch.equal(end.weights["kept/edges"], ends[0].weights["kept/edges"]) for end in ends)
    assert not [name for end in ends for name in end.memory if "kept" in name.split("/")], (
        "kept once, with what is served"
    )
    moved = ends[1].weights["table.user"] - ends[1].memory["task/learned/weights/table.user"]
    assert bool(moved.any()), "the transfer made the tables"


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"layers": 0}, "whole numbers from 1"),
        ({"graph": "half"}, "full, incremental"),
        ({"links": "none"}, "own, before"),
        ({"width": 0}, "width"),
    ],
)
def test_impossible_options(options: dict, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        LightGCN(**options)


def test_weights_without_a_graph_are_refused() -> None:
    with pytest.raises(ValueError, match="kept/edges"):
        FULL.factors(initial_weights(FULL, FIRST))
    with pytest.raises(ValueError, match=r"tasks\.retraining\.advance"):
        fit(FULL, initial_weights(FULL, FIRST), FIRST, SHORT)
    other = LightGCN(width=4, layers=2, graph="incremental")
    kept = run_chain(other, FineTune(SHORT), PERIODS[:2])[-1].weights
    with pytest.raises(ValueError, match="other layers"):
        LightGCN(width=4, layers=3, graph="incremental").factors(kept)


def test_a_graph_is_what_it_kept() -> None:
    graph = full_graph(load_graph({}), PERIODS[-1])
    again = load_graph(graph.to_tensors())
    assert isinstance(again, Graph) and again.period == graph.period and torch.equal(again.edges, graph.edges)
