"""What every strategy says where a checkpoint is not its own, and where its learner fails; odd periods in the middle."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from nightloop.tasks.meta.transfer import Transfer
from nightloop.tasks.models.mf import MF
from nightloop.tasks.modules.checkpoint import Checkpoint
from nightloop.tasks.modules.train_config import TrainConfig
from nightloop.tasks.retraining.advance import fold
from nightloop.tasks.retraining.contract_chains import run_chain
from nightloop.tasks.retraining.contract_data import simulated_periods
from nightloop.tasks.strategies.add_popularity import AddPopularity
from nightloop.tasks.strategies.asmg import ASMG
from nightloop.tasks.strategies.average_weights import AverageWeights
from nightloop.tasks.strategies.ewc import EWC
from nightloop.tasks.strategies.fine_tune import FineTune
from nightloop.tasks.strategies.hedge import Hedge
from nightloop.tasks.strategies.sml import SML
from nightloop.tasks.strategies.spmf import SPMF
from nightloop.tasks.training.predict import predict

MODEL = MF(width=2, biases=True)
SHORT = TrainConfig(epochs=1, batch_size=16)
FINE = FineTune(SHORT, optimizer="keep")
WILD = FineTune(TrainConfig(epochs=3, batch_size=16, lr=1e6))
ONES = {
    "SML": SML(transfer=Transfer(hidden=4), rounds=1, learner_training=SHORT, transfer_training=SHORT),
    "SPMF": SPMF(size=20, training=SHORT),
    "EWC": EWC(training=SHORT),
    "AverageWeights": AverageWeights(FINE),
    "AddPopularity": AddPopularity(FINE),
    "ASMG": ASMG(FINE, window=2, training=SHORT),
    "Hedge": Hedge((FINE, EWC(training=SHORT))),
}


@pytest.mark.parametrize("name", ONES)
def test_a_checkpoint_of_another_strategy_is_refused(name: str) -> None:
    periods = simulated_periods("ranking")
    for other in (FINE, *(one for key, one in ONES.items() if key != name)):
        made = run_chain(MODEL, other, periods[:3])[-1]
        with pytest.raises(ValueError, match=f"{name} expects") as caught:
            fold(MODEL, ONES[name], made, periods[3])
        assert "Start a new chain" in str(caught.value) and len(str(caught.value)) < 600
    with pytest.raises(ValueError, match=f"{name} expects .* given is an empty memory"):
        fold(MODEL, ONES[name], Checkpoint(made.period, made.weights), periods[3])


@pytest.mark.parametrize("name", ONES)
def test_a_checkpoint_of_another_width_is_refused(name: str) -> None:
    periods = simulated_periods("ranking")
    made = run_chain(MODEL, ONES[name], periods[:3])[-1]
    with pytest.raises(ValueError, match=r"table.user is \[\d+, 3\], the model's tables are \[rows, 5\]"):
        fold(MF(width=5), ONES[name], made, periods[3])


@pytest.mark.parametrize(("made", "taken"), [
    (ONES["SML"], replace(ONES["SML"], transfer=Transfer(hidden=6))),
    (ONES["SML"], replace(ONES["SML"], transfer=Transfer("mlp", hidden=4))),
    (ONES["ASMG"], replace(ONES["ASMG"], hidden=3)),
    (ONES["ASMG"], replace(ONES["ASMG"], variant="Linear")),
    (ONES["ASMG"], replace(ONES["ASMG"], window=(2, 3))),
    (ONES["Hedge"], Hedge((FINE,))),
], ids=str)  # fmt: skip
def test_a_checkpoint_made_with_other_options_is_refused(made, taken) -> None:
    periods = simulated_periods("ranking")
    with pytest.raises(ValueError, match=f"{type(taken).__name__} expects .*other options"):
        fold(MODEL, taken, run_chain(MODEL, made, periods[:3])[-1], periods[3])


@pytest.mark.parametrize(("strategy", "said"), [
    (SML(WILD, transfer=Transfer(hidden=4), rounds=1, learner_training=SHORT, transfer_training=SHORT), "SML's learner FineTune: "),
    (AverageWeights(WILD), "AverageWeights' learner FineTune: "),
    (AddPopularity(WILD), "AddPopularity's learner FineTune: "),
    (ASMG(WILD), "ASMG's learner FineTune: "),
    (Hedge((FINE, WILD)), r"Hedge's candidates\[1\] FineTune: "),
    (Hedge((FINE, ASMG(WILD))), r"Hedge's candidates\[1\] ASMG: ASMG's learner FineTune: "),
])  # fmt: skip
def test_a_learner_that_diverges_is_named(strategy, said: str) -> None:
    with pytest.raises(ValueError, match=said + r"training diverged in epoch .* lr 1e\+06"):
        run_chain(MODEL, strategy, simulated_periods("ranking"))


def test_steps_of_sml_that_diverge_are_named() -> None:
    wild = TrainConfig(epochs=3, batch_size=16, lr=1e6)
    for part, said in (("learner_training", "training diverged"), ("transfer_training", "the transfer diverged")):
        with pytest.raises(ValueError, match=rf"{said}.* lr 1e\+06"):
            run_chain(MODEL, replace(ONES["SML"], **{part: wild}), simulated_periods("ranking"))


@pytest.mark.parametrize("name", ONES)
def test_a_period_of_nobody_known(name: str) -> None:
    """All users and items of a period are new: rows of the others stay finite, the new ones are learned."""
    periods = simulated_periods("ranking", count=6)
    odd = 4
    whole = []
    for logs in periods:
        rows, mine = logs.rows.clone(), logs.periods == odd
        rows[mine] = rows[mine] % torch.tensor([3, 3]) + torch.tensor(periods[-1].sizes)
        sizes = tuple(size + 3 * (logs.period >= odd) for size in periods[-1].sizes)
        born = tuple(torch.cat([b, torch.full((3 * (logs.period >= odd),), odd, dtype=torch.int32)])
                     for b in periods[-1].born)  # fmt: skip
        whole.append(replace(logs, rows=rows, sizes=sizes, born=born))
    chain = run_chain(MODEL, ONES[name], whole)
    for checkpoint, logs in zip(chain, whole, strict=True):
        assert all(bool(torch.isfinite(tensor).all()) for tensor in checkpoint.weights.values())
        assert bool(torch.isfinite(predict(MODEL, checkpoint.weights, logs)).all())
    assert len(chain[-1].weights["table.user"]) == whole[-1].sizes[0]
