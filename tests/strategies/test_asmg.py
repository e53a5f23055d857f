"""ASMG: the properties A1 to A11 of the method, its timetable, and what may go wrong."""

from __future__ import annotations

from dataclasses import replace
from math import exp, sqrt, tanh

import pytest
import torch
from torch import Tensor

from nightloop.tasks.meta import asmg_gru
from nightloop.tasks.meta.generator import Generator
from nightloop.tasks.meta.generator_training import TrainingWindow, _batches, losses_and_gradients
from nightloop.tasks.models.deepfm import DeepFM
from nightloop.tasks.models.mf import MF
from nightloop.tasks.modules.checkpoint import Checkpoint, unpack
from nightloop.tasks.modules.fused_tables import fuse
from nightloop.tasks.modules.loss import Batch, cross_entropy
from nightloop.tasks.modules.threads import ThreadPool
from nightloop.tasks.modules.train_config import TrainConfig
from nightloop.tasks.retraining.contract_chains import assert_same_chains, run_chain
from nightloop.tasks.retraining.contract_data import simulated_periods
from nightloop.tasks.strategies import asmg as module
from nightloop.tasks.strategies.asmg import ASMG
from nightloop.tasks.strategies.fine_tune import FineTune
from nightloop.tasks.training.resize import grow, initial_weights
from nightloop.tasks.training.step import step_entries

MODEL = MF(width=3)
LEARNER = FineTune(TrainConfig(epochs=2, batch_size=16), optimizer="keep")
QUICK = TrainConfig(epochs=1, batch_size=16, lr=0.05)
STILL = TrainConfig(epochs=1, batch_size=1024, lr=1e-30)  # steps are counted, parameters stay


def made(variant="multi", k=2, training=QUICK, **more):
    return ASMG(LEARNER, variant, k, training=training, **more)


def periods(count=7):
    return simulated_periods("ranking", count=count)


def omega(checkpoint: Checkpoint) -> dict[str, Tensor]:
    return unpack("generators/0/meta/parameters", checkpoint.memory)


def equal(one, two) -> bool:
    return one.keys() == two.keys() and all(torch.equal(one[name], two[name]) for name in one)


def test_a1_a_window_of_one_has_one_loss() -> None:
    chains = [run_chain(MODEL, made(variant, 1), periods()) for variant in ("multi", "unif", "single")]
    assert_same_chains(chains[0], chains[1], "multi and unif")
    assert_same_chains(chains[0], chains[2], "multi and single")


def test_a2_zero_and_multi_begin_alike() -> None:
    zero, multi = (run_chain(MODEL, made(variant), periods()) for variant in ("zero", "multi"))
    assert not equal(omega(multi[2]), omega(multi[3])), "the first window is judged at the close of 1 + k"
    assert equal(omega(zero[3]), omega(multi[3])) and not equal(omega(zero[4]), omega(multi[4]))


@pytest.mark.parametrize("k", [2, 3])
def test_a3_linear_that_learned_nothing_is_the_mean_of_the_last(k: int) -> None:
    chain = run_chain(MODEL, made("Linear", k, STILL), periods())
    for checkpoint in chain[1 + k :]:
        pool = [unpack(f"pool/{j}/weights", checkpoint.memory) for j in range(k)]
        for name, served in checkpoint.weights.items():
            torch.testing.assert_close(served, torch.stack([weights[name] for weights in pool]).mean(0))


def test_a4_of_equal_weights_the_output_depends_on_number_and_state_alone() -> None:
    generator, rng = Generator(("user",)), torch.Generator().manual_seed(0)
    weights = {"table.user": torch.randn(6, 3, generator=rng)}
    parameters = generator.parameters(MF(width=3), weights, rng)
    rows, state = weights["table.user"], torch.rand(6, 3, 4, generator=rng)
    shuffle = torch.tensor([3, 0, 5, 1, 4, 2])
    once = generator.rows(parameters, "user", [rows] * 3, state).outputs[-1]
    again = generator.rows(parameters, "user", [rows[shuffle]] * 3, state[shuffle]).outputs[-1]
    torch.testing.assert_close(once[shuffle], again)
    other = generator.rows(parameters, "user", [rows] * 3, state + 0.1).outputs[-1]
    assert not torch.allclose(once, other)


def test_a5_residual_begins_as_the_learner() -> None:
    plain = run_chain(MODEL, LEARNER, periods())
    for variant in ("multi", "full"):
        served = run_chain(MODEL, made(variant, training=STILL, residual=True), periods())
        assert all(equal(dict(a.weights), dict(b.weights)) for a, b in zip(plain, served, strict=True))
    moved = run_chain(MODEL, made(residual=True), periods())
    assert not equal(dict(moved[-1].weights), dict(plain[-1].weights))


def slow_rows(own, sequence, state):
    """Outputs for every row [N, n], by autograd, in the words of the paper."""
    found, size = [], state.shape[2]
    for rows in sequence:
        both = torch.einsum("nab,Rnb->Rna", own["gates"][:, : 2 * size], torch.cat([state, rows[:, :, None]], 2))
        z, r = both.sigmoid().chunk(2, 2)
        inside = torch.cat([r * state, rows[:, :, None]], 2)
        state = (1 - z) * state + z * torch.einsum("nab,Rnb->Rna", own["gates"][:, 2 * size :], inside).tanh()
        found.append((state * own["weight"][:, 0]).sum(2) + own["bias"][:, 0, 0])
    return found


def slow_loss(model, generator, parameters, lesson, draws):
    total = torch.zeros(())
    outputs = {}
    for name, tensor in lesson.sequence[0].items():
        key = name.removeprefix("table.")
        table = name.startswith("table.")
        sequence = [w[name] if table else w[name].reshape(1, -1) for w in lesson.sequence]
        own = unpack(key, parameters)
        if generator.form == "Linear":
            shares = torch.softmax(own["logits"], 1)
            outputs[name] = [*sequence[:-1], sum(shares[:, j] * rows for j, rows in enumerate(sequence))]
        else:
            hidden = lesson.hidden[name] if table else lesson.hidden[name][None]
            outputs[name] = [out.view(tensor.shape) for out in slow_rows(own, sequence, hidden)]
    for number, rows in draws.items():
        logs = lesson.targets[number]
        positions, label, ids = step_entries(model, logs, rows)
        embedded = torch.stack([outputs[f"table.{f}"][number][ids[:, j]] for j, f in enumerate(model.fields)], 1)
        dense = {n: outputs[n][number].view(lesson.sequence[0][n].shape) for n in outputs if n[:6] != "table."}
        logits = model.logits(embedded, logs.numeric[positions], dense)
        total = total + lesson.shares[number] * cross_entropy(
            Batch(logits, label, positions, ids, embedded, len(rows.positions))
        )
    return total


def lesson_for(model, generator, logs, shares):
    rng = torch.Generator().manual_seed(1)
    first = initial_weights(model, logs[-1])
    sequence = [{n: t + 0.3 * torch.randn(t.shape, generator=rng) for n, t in first.items()} for _ in shares]
    hidden = {n: torch.rand(t.shape, generator=rng) - 0.5 for n, t in generator.blank(first).items()}
    targets = [replace(logs[-1].select(logs[-1].periods == t), period=t) for t in range(1, 1 + len(shares))]
    return TrainingWindow(sequence, hidden, targets, shares)


@pytest.mark.parametrize("form", ["GRU", "Linear"])
@pytest.mark.parametrize("family", ["ranking", "ctr"])
def test_a6_touched_rows_give_the_loss_and_slope_of_whole_tables(family: str, form: str) -> None:
    fields = ("user", "item", "device")
    deep = DeepFM(fields=fields, numeric=2, width=3, hidden=(4,))
    model = MODEL if family == "ranking" else deep
    logs = simulated_periods(family, *(() if family == "ranking" else (fields, 2)))
    generator = Generator(model.fields, form)
    lesson = lesson_for(model, generator, logs, [0.0, 0.0, 1.0] if form == "Linear" else [1 / 6, 2 / 6, 3 / 6])
    parameters = generator.parameters(model, lesson.sequence[0], torch.Generator().manual_seed(2))
    parameters = {n: (t + 0.1 * torch.arange(t.numel()).view(t.shape).sin()) for n, t in parameters.items()}
    draws = next(_batches(model, lesson, TrainConfig(batch_size=8)))
    tables = [fuse(weights, model.fields) for weights in lesson.sequence]
    value, slopes = losses_and_gradients(model, generator, parameters, lesson, tables, draws, ThreadPool(1))
    leaves = {name: tensor.clone().requires_grad_() for name, tensor in parameters.items()}
    expected = slow_loss(model, generator, leaves, lesson, draws)
    assert float(value) == pytest.approx(float(expected.detach()), abs=1e-6)
    wanted = torch.autograd.grad(expected, list(leaves.values()), allow_unused=True)
    for name, slope in zip(leaves, wanted, strict=True):
        zero = torch.zeros_like(leaves[name]) if slope is None else slope
        torch.testing.assert_close(slopes[name], zero, atol=1e-6, rtol=1e-4)


def test_a7_the_cell_by_hand_and_not_pytorchs() -> None:
    rng = torch.Generator().manual_seed(3)
    own = {n: 3 * t for n, t in asmg_gru.first_values(2, 4, rng).items()}
    state, rows = torch.rand(5, 2, 4, generator=rng) - 0.5, torch.randn(5, 2, generator=rng)
    (output,), ((trace,),) = asmg_gru.forward(own, [rows], state, ThreadPool(1))
    sigmoid = lambda x: 1 / (1 + exp(-x))  # noqa: E731
    for r in range(5):
        for n in range(2):
            gates, h, w = own["gates"][n].tolist(), state[r, n].tolist(), float(rows[r, n])
            dot = lambda row, values: sum(a * b for a, b in zip(row, values, strict=True))  # noqa: E731
            z = [sigmoid(dot(gates[a], [*h, w])) for a in range(4)]
            reset = [sigmoid(dot(gates[4 + a], [*h, w])) for a in range(4)]
            inside = [*(a * b for a, b in zip(reset, h, strict=True)), w]
            g = [tanh(dot(gates[8 + a], inside)) for a in range(4)]
            new = [(1 - a) * b + a * c for a, b, c in zip(z, h, g, strict=True)]
            torch.testing.assert_close(trace.state[n, :, r], torch.tensor(new), atol=1e-6, rtol=0)
            out = dot(own["weight"][n, 0].tolist(), new) + float(own["bias"][n, 0, 0])
            assert float(output[r, n]) == pytest.approx(out, abs=1e-6)
    theirs = torch.nn.GRUCell(1, 4, bias=False)
    z, reset, new = own["gates"][0].split(4)
    theirs.weight_ih.data = torch.cat([reset[:, 4:], z[:, 4:], new[:, 4:]])
    theirs.weight_hh.data = torch.cat([reset[:, :4], z[:, :4], new[:, :4]])
    assert not torch.allclose(theirs(rows[:, :1], state[:, 0]), trace.state[0].T, atol=1e-3)


def test_a8_the_carried_state_is_that_of_the_unrolled_sequence() -> None:
    chain = run_chain(MODEL, made(training=STILL), periods())
    generator, plain = Generator(MODEL.fields), run_chain(MODEL, LEARNER, periods())
    state = generator.blank(plain[1].weights)
    for t in range(1, len(chain) - 2):  # the newest window has the last two
        moved = generator.advance_hidden(omega(chain[-1]), plain[t].weights, state)
        state = {n: torch.cat([s, s.new_zeros(len(plain[t + 1].weights[n]) - len(s), 3, 4)]) for n, s in moved.items()}
    for field, born in zip(("user", "item"), periods()[-1].born, strict=True):
        old = born <= 1
        kept = chain[-1].memory[f"generators/0/hidden/table.{field}"]
        torch.testing.assert_close(kept[old], state[f"table.{field}"][: len(old)][old[: len(state[f"table.{field}"])]])
        assert kept[old].abs().max() > 0


def test_g5_new_ids_have_first_values_in_every_past_and_no_state() -> None:
    logs = periods()
    chain = run_chain(MODEL, made(), logs[:-1])
    grown, old = grow(MODEL, chain[-1], logs[-1]), logs[-2].sizes[1]
    assert len(grown.weights["table.item"]) == logs[-1].sizes[1] > old
    fresh = [grown.memory[f"pool/{j}/weights/table.item"][old:] for j in range(2)]
    assert fresh[0].any() and torch.equal(fresh[0], fresh[1])
    assert torch.equal(fresh[0], grown.weights["table.item"][old:])
    hidden = grown.memory["generators/0/hidden/table.item"]
    assert len(hidden) == logs[-1].sizes[1] and not hidden[old:].any() and hidden[:old].any()


@pytest.mark.parametrize(("variant", "expected"), [
    ("multi", [1 / 6, 2 / 6, 3 / 6]), ("zero", [1 / 6, 2 / 6, 3 / 6]), ("unif", [1 / 3] * 3), ("single", [0, 0, 1]),
    ("Linear", [0, 0, 1]),
])  # fmt: skip
def test_a9_shares_of_the_losses(variant: str, expected: list[float]) -> None:
    shares = made(variant)._shares(3)
    assert shares == pytest.approx(expected) and sum(shares) == pytest.approx(1) and shares == sorted(shares)


@pytest.mark.parametrize("variant", ["multi", "full", "Linear"])
def test_a10_the_learners_chain_is_untouched(variant: str) -> None:
    for alone, wrapped in zip(
        run_chain(MODEL, LEARNER, periods())[1:], run_chain(MODEL, made(variant), periods())[1:], strict=True
    ):
        assert equal(unpack("pool/0/weights", wrapped.memory), dict(alone.weights))
        assert equal(unpack("learner", wrapped.memory), dict(alone.memory))


def test_a11_what_nobody_touched_is_bounded_or_left_alone() -> None:
    whole = periods()
    plain, free, masked = (run_chain(MODEL, s, whole) for s in (LEARNER, made(), made(mask_inactive=True)))
    absent = torch.ones(whole[-1].sizes[0], dtype=torch.bool)
    absent[whole[-1].rows[whole[-1].periods >= 5, 0]] = False  # the window has what 5 and 6 made
    assert absent.any()
    own = unpack("user", omega(free[-1]))
    bound = own["weight"].abs().sum(2)[:, 0] + own["bias"].abs()[:, 0, 0]
    assert (free[-1].weights["table.user"][absent].abs() <= bound + 1e-6).all()
    still = (plain[-1].weights["table.user"] == unpack("pool/1/weights", masked[-1].memory)["table.user"]).all(1)
    assert still[absent].all()
    assert torch.equal(masked[-1].weights["table.user"][absent], plain[-1].weights["table.user"][absent])
    assert not torch.equal(masked[-1].weights["table.user"][~still], plain[-1].weights["table.user"][~still])


def test_the_timetable(monkeypatch: pytest.MonkeyPatch) -> None:
    events, learn, teach = [], module.learn_generator, module.update_learner

    def learned(model, generator, meta, lesson, training):
        events.append([sorted(set(logs.periods.tolist())) for logs in lesson.targets])
        assert [logs.period for logs in lesson.targets] == [p for (p,) in events[-1]]
        return learn(model, generator, meta, lesson, training)

    monkeypatch.setattr(module, "learn_generator", learned)
    monkeypatch.setattr(module, "update_learner", lambda *a: events.append("learner") or teach(*a))
    run_chain(MODEL, made(k=2), periods(5))
    assert events == ["learner", "learner", [[2], [3]], "learner", [[3], [4]], "learner"]
    events.clear()
    run_chain(MODEL, made("full", 2), periods(5))
    assert events == ["learner", "learner", [[2], [3]], "learner", [[2], [3], [4]], "learner"]


def test_the_state_is_recomputed_after_the_windows_last_step() -> None:
    chain = run_chain(MODEL, made(), periods(5))
    generator = Generator(MODEL.fields)
    window = unpack("pool/1/weights", chain[2].memory)  # what period 1 made, the first of the window judged at 3
    size = {n: len(t) for n, t in window.items()}
    state = generator.advance_hidden(omega(chain[3]), window, generator.blank(window))
    for name, count in size.items():
        torch.testing.assert_close(chain[3].memory[f"generators/0/hidden/{name}"][:count], state[name])


def test_older_targets_are_dealt_out_over_as_many_batches() -> None:
    logs = periods()
    generator = Generator(MODEL.fields)
    lesson = lesson_for(MODEL, generator, logs, [1 / 3, 2 / 3])
    lesson = replace(lesson, targets=[lesson.targets[0], lesson.targets[1].select(torch.arange(21))])
    draws = list(_batches(MODEL, lesson, TrainConfig(epochs=1, batch_size=10)))
    assert [len(step[1].positions) for step in draws] == [10, 10, 1]
    assert [len(step[0].positions) for step in draws] == [20, 20, 20]
    assert sorted(torch.cat([step[0].positions for step in draws]).tolist()) == list(range(60))
    later = replace(lesson, targets=[lesson.targets[0], replace(lesson.targets[1], period=5)])
    again = list(_batches(MODEL, later, TrainConfig(epochs=1, batch_size=10)))
    assert draws[0][0].positions.tolist() != again[0][0].positions.tolist(), "another night, another order"


def test_several_windows_are_generators_of_their_own_chosen_in_hindsight(monkeypatch: pytest.MonkeyPatch) -> None:
    losses = []
    real = module.make_judge

    def recorded(*given):
        judge = real(*given)
        return lambda weights: losses.append(judge(weights)) or losses[-1]

    monkeypatch.setattr(module, "make_judge", recorded)
    several = run_chain(MODEL, made(k=(1, 3)), periods())
    for place, k in enumerate((1, 3)):
        alone = run_chain(MODEL, made(k=k), periods())
        for one, two in zip(several, alone, strict=True):
            assert equal(unpack(f"generators/{place}", one.memory), unpack("generators/0", two.memory))
    pairs = [losses[i : i + 2] for i in range(0, len(losses), 2)]
    choices = [int(checkpoint.memory["choice"]) for checkpoint in several]
    assert choices == [0, 0, *(pair.index(min(pair)) for pair in pairs)], "nothing is known at the first two"
    served = run_chain(MODEL, made(k=(1, 3)[choices[-1]]), periods())[-1]
    assert equal(dict(several[-1].weights), dict(served.weights))


@pytest.mark.parametrize("variant", ["multi", "full", "Linear"])
def test_a_window_longer_than_the_chain_serves_the_learner(variant: str) -> None:
    for alone, wrapped in zip(
        run_chain(MODEL, LEARNER, periods()), run_chain(MODEL, made(variant, 7), periods()), strict=True
    ):
        assert equal(dict(alone.weights), dict(wrapped.weights))


def test_an_empty_period_teaches_the_generator_nothing() -> None:
    empty = [logs.select(logs.periods != 4) for logs in periods()]
    chain = run_chain(MODEL, made(), empty)
    assert equal(omega(chain[4]), omega(chain[3])) and not equal(omega(chain[5]), omega(chain[4]))
    assert all(bool(torch.isfinite(t).all()) for t in chain[-1].weights.values())


def test_a_period_left_out_is_judged_with_the_next() -> None:
    logs = periods()
    chain = run_chain(MODEL, made(), [logs[t] for t in (0, 1, 2, 3, 5, 6)])
    assert [c.period for c in chain] == [0, 1, 2, 3, 5, 6]
    assert chain[-1].memory["pool/periods"].tolist() == [6, 5]


def test_first_values_are_tensorflows() -> None:
    found = asmg_gru.first_values(8, 4, torch.Generator().manual_seed(0))
    assert sum(tensor.numel() for tensor in found.values()) == 8 * 65
    for tensor, limit in ((found["gates"][:, :, 4], sqrt(6 / 40)), (found["gates"][:, :, :4], sqrt(6 / 64)),
                          (found["weight"], sqrt(6 / 40)), (found["bias"], sqrt(6 / 16))):  # fmt: skip
        assert 0.5 * limit < float(tensor.abs().max()) <= limit


def test_lookback_is_what_judges_a_window() -> None:
    assert [made(v, 4).lookback for v in ("multi", "unif", "zero", "single", "Linear")] == [4, 4, 4, 1, 1]
    assert made("full").lookback > 10**6 and made(k=(2, 5)).lookback == 5


def test_a_rate_that_is_too_high_is_named() -> None:
    with pytest.raises(ValueError, match=r"generator diverged.*lr 1e\+09"):
        run_chain(MODEL, made("multi", training=TrainConfig(epochs=3, batch_size=16, lr=1e9)), periods())
