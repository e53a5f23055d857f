"""The compiled step against the step in torch: the same bytes, on any number of threads, in any process."""

from __future__ import annotations

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from itertools import product

import pytest
import torch

from nightloop.tasks.kernels import compiler, portable_math
from nightloop.tasks.models.fm import FM
from nightloop.tasks.models.mf import MF
from nightloop.tasks.modules.loss import Batch, cross_entropy
from nightloop.tasks.modules.negative_sampling import draw, index_positives
from nightloop.tasks.modules.ranking_loss import RankingLoss, ranking_loss
from nightloop.tasks.modules.regularizers import Penalty
from nightloop.tasks.modules.threads import ThreadPool
from nightloop.tasks.modules.train_config import TrainConfig
from nightloop.tasks.plan.errors import DataError, PlanError
from nightloop.tasks.training import compiled_steps
from nightloop.tasks.training.fit import fit
from nightloop.tasks.training.resize import initial_weights
from tests.models.make_logs import make, same

LOGS = make((15, 40), 900)
TRAINING = TrainConfig(epochs=2, batch_size=256, lr=0.1, l2=0.03)
LOSSES = ("bce", "bpr", "softmax")


@pytest.fixture
def compiled(monkeypatch):
    """Every fit is worth compiling."""
    monkeypatch.setattr(compiled_steps, "WORTHWHILE", 0)


def both(model, training, logs=LOGS, **given):
    """The fit in torch and the compiled one."""
    weights, fitted = initial_weights(model, logs), []
    before = compiled_steps.WORTHWHILE
    for worthwhile in (1 << 60, 0):
        compiled_steps.WORTHWHILE = worthwhile
        fitted.append(fit(model, weights, logs, training, **given))
    compiled_steps.WORTHWHILE = before
    return fitted


@pytest.mark.parametrize(("loss", "sampling"), product(LOSSES, ("uniform", "frequency")))
@pytest.mark.parametrize("model", [MF(width=6), MF(width=64, biases=True), MF(width=17)], ids=["6", "64b", "17"])
def test_the_compiled_step_gives_the_bytes_of_torch(loss, sampling, model):
    for negatives, batch_size in ((1, 256), (4, 100), (3, 2000)):
        training = replace(TRAINING, loss=loss, sampling=sampling, negatives=negatives, batch_size=batch_size)
        torch_fit, kernel_fit = both(model, training)
        assert same(torch_fit.weights, kernel_fit.weights) and same(torch_fit.optimizer, kernel_fit.optimizer)


def test_sums_of_products_are_those_of_torch_in_each_width():
    """Widths of many models are added up by vector instructions of their own."""
    numba = pytest.importorskip("numba")
    from nightloop.tasks.kernels.vectors import dot

    @numba.njit
    def products(left, right, found, work):
        for row in range(len(found)):
            found[row] = dot(left, row, right, row, left.shape[1], work)

    for width in (1, 4, 5, 16, 17, 32, 64, 65, 96, 128, 129):
        left, right = torch.randn(2, 50, width, generator=torch.Generator().manual_seed(width)).unbind()
        found = torch.empty(50)
        products(left.numpy(), right.numpy(), found.numpy(), torch.empty(width).numpy())
        assert torch.equal(found, portable_math.sum_columns(left * right))


INTERRUPTED = """
import threading
import torch
from nightloop.tasks.modules.ranking_loss import RankingLoss
from nightloop.tasks.training import compiled_steps as steps

class Interrupted(threading.Thread):
    def start(self):
        super().start()
        if threading.current_thread() is threading.main_thread():
            raise KeyboardInterrupt

def train():
    users, items = torch.arange(20_000) % 500, 500 + torch.arange(40_000).reshape(-1, 2) % 500
    pairs, settings = steps.Pairs(users, items, None, 0), steps.StepSettings(4, 20_000, 0.0, 2)
    steps.compiled_steps(torch.zeros(1000, 4), steps.RowAdagrad(1.0, torch.zeros(1000)), pairs, RankingLoss(), settings)

assert steps._members(2, 20_000) == 2
steps.Thread = Interrupted
try:
    train()
except KeyboardInterrupt:
    print("interrupted")
steps.Thread = threading.Thread
train()
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="there are no barriers of POSIX threads")
def test_ctrl_c_between_the_starts_of_two_threads_ends_training():
    """The second one waited at the barrier for the first one, which had been interrupted and waited for the second."""
    done = subprocess.run([sys.executable, "-c", INTERRUPTED], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout) == (0, "interrupted\n"), done.stderr


def test_users_without_negatives_count_in_neither():
    """A user who has taken every item has no negative, and another has few."""
    logs = make((3, 4), 300)
    for loss in LOSSES:
        one, other = both(MF(width=6), replace(TRAINING, loss=loss, negatives=3), logs)
        assert same(one.weights, other.weights)


def test_any_number_of_threads_gives_the_same_bytes(compiled):
    model, weights, found = MF(width=6), initial_weights(MF(width=6), LOGS), []
    before = torch.get_num_threads()
    try:
        for threads in (1, 2, 3, 8):
            torch.set_num_threads(threads)
            found.append(fit(model, weights, LOGS, TRAINING).weights)
    finally:
        torch.set_num_threads(before)
    assert all(same(found[0], other) for other in found[1:])


def test_two_fits_at_once_and_a_fork_after_them(compiled):
    model, weights = MF(width=6), initial_weights(MF(width=6), LOGS)
    alone = fit(model, weights, LOGS, TRAINING).weights
    with ThreadPoolExecutor(2) as pool:
        together = list(pool.map(lambda _: fit(model, weights, LOGS, TRAINING).weights, range(4)))
    assert all(same(alone, each) for each in together)
    child = os.fork()
    if not child:
        os._exit(0 if same(alone, fit(model, weights, LOGS, TRAINING).weights) else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def test_without_numba_the_step_runs_in_torch():
    program = (
        "import sys; sys.modules['numba'] = None\n"
        "from nightloop.tasks.training import compiled_steps\n"
        "print(compiled_steps.can_compile(1 << 40))"
    )
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "False"


def test_code_that_cannot_be_loaded_leaves_the_step_to_torch(monkeypatch, caplog):
    """A damaged cache must not leave a thread waiting for one that has failed."""
    from nightloop.tasks.kernels import dot_product

    monkeypatch.setattr(dot_product, "train_batches", lambda *given: [][0])
    compiled_steps._compiles.cache_clear()
    try:
        assert not compiled_steps.can_compile(1 << 40)
        assert "compiled training is not possible (IndexError" in caplog.text
    finally:
        compiled_steps._compiles.cache_clear()


def test_training_that_diverges_is_told_by_both(compiled):
    """NaN reaches the check after the epoch, and no memory outside of a table."""
    training = replace(TRAINING, lr=1e30, epochs=3)
    for worthwhile in (1 << 60, 0):
        compiled_steps.WORTHWHILE = worthwhile
        with pytest.raises(DataError, match="training diverged in epoch"):
            fit(MF(width=6), initial_weights(MF(width=6), LOGS), LOGS, training)


def test_a_penalty_and_adam_are_left_to_torch(compiled, monkeypatch):
    monkeypatch.setattr("nightloop.tasks.training.fit.compiled_steps", lambda *given: pytest.fail("compiled"))
    model, weights = MF(width=6), initial_weights(MF(width=6), LOGS)
    fit(model, weights, LOGS, TRAINING, penalty=Penalty(0.1, weights))
    fit(model, weights, LOGS, replace(TRAINING, optimizer="adam"))


def test_a_cache_that_others_can_write_to_is_not_read(tmp_path):
    directory = compiler.cache_directory(tmp_path, "1")
    assert directory is not None and directory.stat().st_mode & 0o777 == 0o700
    directory.chmod(0o770)
    assert compiler.cache_directory(tmp_path, "1") is None
    directory.chmod(0o700)
    directory.rename(tmp_path / "elsewhere")
    directory.symlink_to(tmp_path / "elsewhere")
    assert compiler.cache_directory(tmp_path, "1") is None
    (tmp_path / "file").write_text("")
    assert compiler.cache_directory(tmp_path / "file", "1") is None


def test_the_cache_is_used_whatever_the_umask(tmp_path):
    before = os.umask(0o002)  # the usual one of Ubuntu and Fedora
    try:
        assert compiler.cache_directory(tmp_path / "new", "1") is not None
    finally:
        os.umask(before)


@pytest.mark.parametrize("damage", ["index", "code", "full"])
def test_a_damaged_or_full_cache_is_made_again(damage, tmp_path):
    program = (
        "import numpy as np\n"
        "from nightloop.tasks.kernels.pair_index import PairIndex, fill_lists\n"
        "index = PairIndex(5, np.zeros(7, 'i8'), np.zeros(3, 'i4'), np.zeros(64, 'u8'), np.uint64(58))\n"
        "fill_lists(np.array([0, 1, 2]), np.array([1, 2, 3]), index)\n"
        "print(index.of_user, sum(fill_lists.stats.cache_hits.values()))\n"
    )
    command = f"ulimit -f {1 if damage == 'full' else 'unlimited'}; exec '{sys.executable}' -c \"$PROGRAM\""
    environment = {**os.environ, "XDG_CACHE_HOME": str(tmp_path), "PROGRAM": program}

    def fill():
        done = subprocess.run(["bash", "-c", command], env=environment, capture_output=True, text=True, check=False)
        assert not done.returncode, done.stderr
        return done.stdout.strip()

    assert fill() == "[1 2 3] 0"
    if damage == "full":
        return
    assert fill() == "[1 2 3] 1"
    (file,) = tmp_path.rglob("*.nbi" if damage == "index" else "*.nbc")
    os.truncate(file, 10)
    assert fill() == "[1 2 3] 0"
    assert fill() == "[1 2 3] 1"


def test_the_compiled_index_finds_what_the_sorted_one_finds():
    g = torch.Generator().manual_seed(1)
    users, items, others, more = (torch.randint(900, (40_000,), generator=g) for _ in range(4))
    sorted_index, compiled_index = (index_positives(users, items, 900, each) for each in (None, ThreadPool()))
    assert sorted_index.find(others, more).tolist() == compiled_index.find(others, more).tolist()
    assert compiled_index.find(users[:50], items[:50]).tolist() == list(range(50))
    drawn = [draw(each, users, torch.Generator().manual_seed(2), None, 3) for each in (sorted_index, compiled_index)]
    assert torch.equal(drawn[0][0], drawn[1][0]) and drawn[0][0].shape == (40_000, 3)


@pytest.mark.parametrize("name", ["exp", "sigmoid", "sqrt"])
def test_portable_functions_are_as_exact_as_float32(name):
    x = torch.linspace(-80, 80, 100_001) if name != "sqrt" else torch.logspace(-30, 30, 100_001)
    exact = getattr(torch, name)(x.double())
    error = ((getattr(portable_math, name)(x).double() - exact) / exact).abs().max()
    assert error < 3e-7
    assert torch.isfinite(portable_math.exp(torch.tensor([-torch.inf, torch.inf]))).all()
    assert torch.isnan(portable_math.exp(torch.tensor([torch.nan]))).all()


@pytest.mark.parametrize("loss", LOSSES)
def test_the_gradient_of_a_loss_is_that_of_autograd(loss):
    """Closed form, mean and the loss of a batch agree, with a shift and with negatives that do not count."""
    g = torch.Generator().manual_seed(0)
    logits, items = torch.randn(5, 4, generator=g), torch.randint(9, (5, 4), generator=g)
    real = torch.rand(5, 3, generator=g) > 0.3
    ranking = RankingLoss(loss, torch.randn(9, generator=g))
    leaf = logits.clone().requires_grad_()
    value = ranking.mean(ranking.scores(leaf, items), real)
    (expected,) = torch.autograd.grad(value, [leaf])
    expected[:, 1:] *= real
    found = ranking.gradient(ranking.scores(logits, items), real)
    torch.testing.assert_close(found / 5, expected, rtol=1e-5, atol=1e-7)
    keep = real.flatten()
    entries = torch.cat([logits[:, 0], logits[:, 1:].flatten()[keep]])
    of = torch.cat([torch.arange(5), torch.arange(5).repeat_interleave(3)[keep]])
    rows = torch.stack([of, torch.cat([items[:, 0], items[:, 1:].flatten()[keep]])], 1)
    label = torch.cat([torch.ones(5), torch.zeros(int(keep.sum()))])
    batch = Batch(entries, label, of, rows, torch.zeros(len(of), 2, 1), 5, of)
    torch.testing.assert_close(ranking(batch), value)


class ByAutograd(torch.nn.Module):
    """MF as a model whose formula `fit` does not know."""

    family, fields = "ranking", ("user", "item")

    def __init__(self, model):
        super().__init__()
        self.width, self.logits, self.new_rows, self.dense = model.width, model.logits, model.new_rows, model.dense


@pytest.mark.parametrize("loss", LOSSES)
def test_a_model_that_is_trained_by_autograd_takes_the_same_options(loss):
    model = MF(width=6, biases=True)
    training = replace(TRAINING, epochs=1, loss=loss, negatives=3, sampling="frequency")
    weights = initial_weights(model, LOGS)
    closed, autograd = (fit(each, weights, LOGS, training).weights for each in (model, ByAutograd(model)))
    for name in weights:
        torch.testing.assert_close(closed[name], autograd[name], rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("option", [{"loss": "bpr"}, {"negatives": 2}, {"sampling": "frequency"}])
def test_options_of_rankings_are_refused_where_they_have_no_effect(option):
    training, name = TrainConfig(**option), next(iter(option))
    model, logs = FM(("user", "item"), width=2), make((5, 6), 20, labels=True)
    with pytest.raises(PlanError, match=f"given {name} .*a model of clicks does not use {name}: leave it out"):
        fit(model, initial_weights(model, logs), logs, training)
    if name != "negatives":
        with pytest.raises(PlanError, match="a strategy with a loss of its own does not use"):
            fit(
                MF(width=6), initial_weights(MF(width=6), LOGS), LOGS, training, loss=lambda batch: cross_entropy(batch)
            )


def test_with_frequency_the_shift_is_the_log_of_an_items_share():
    logs = make((5, 4), 100)
    counts = torch.bincount(logs.rows[:, 1], minlength=4)
    shift = ranking_loss(TrainConfig(sampling="frequency"), logs, ("user", "item")).shift
    torch.testing.assert_close(shift, (counts / 100 * 4).log())


def test_l2_counts_a_user_once_for_each_positive():
    """One user, whose gradient vanishes because all items are zero: only L2 moves the row, n times and not 2 n."""
    logs = make((1, 50), 8)
    weights = {"table.user": torch.ones(1, 2), "table.item": torch.zeros(50, 2)}
    for negatives in (1, 5):
        training = TrainConfig(epochs=1, batch_size=100, lr=1.0, l2=0.5, negatives=negatives)
        state = fit(MF(width=2), weights, logs, training).optimizer["squares/table.user"]
        assert state.item() == pytest.approx((8 * 0.5) ** 2)
        by_autograd = fit(MF(width=2), weights, logs, training, loss=lambda batch: RankingLoss("bce")(batch))
        assert by_autograd.optimizer["squares/table.user"].item() == pytest.approx((8 * 0.5) ** 2)
