"""G1, G3, G4 and G6 for every kind of strategy: stopped and resumed it goes the same way, labels that mean nothing teach
nothing, rows of one instant may come in any order, and a night run twice is the same night.
"""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from nightloop.tasks.evaluation.auc import auc
from nightloop.tasks.meta.transfer import Transfer
from nightloop.tasks.models.mf import MF
from nightloop.tasks.modules.train_config import TrainConfig
from nightloop.tasks.retraining.advance import recent_rows
from nightloop.tasks.retraining.contract import check_resume, check_row_order
from nightloop.tasks.retraining.contract_chains import assert_same_chains, run_chain
from nightloop.tasks.retraining.contract_data import simulated_periods
from nightloop.tasks.strategies.add_popularity import AddPopularity
from nightloop.tasks.strategies.asmg import ASMG
from nightloop.tasks.strategies.average_weights import AverageWeights
from nightloop.tasks.strategies.ewc import EWC
from nightloop.tasks.strategies.fine_tune import FineTune
from nightloop.tasks.strategies.full_retrain import FullRetrain
from nightloop.tasks.strategies.hedge import Hedge
from nightloop.tasks.strategies.sml import SML
from nightloop.tasks.strategies.spmf import SPMF
from nightloop.tasks.training.predict import predict
from nightloop.tasks.training.resize import grow

SHORT = TrainConfig(epochs=2, batch_size=32)
META = TrainConfig(epochs=1, batch_size=32, lr=0.01)
FINE = FineTune(SHORT)
ONES = {
    "FineTune": FINE,
    "FullRetrain": FullRetrain(SHORT),
    "SPMF": SPMF(size=200, training=SHORT),
    "EWC": EWC(training=SHORT),
    "AverageWeights": AverageWeights(FINE),
    "AddPopularity": AddPopularity(FINE),
    "SML": SML(transfer=Transfer(hidden=8), rounds=2, learner_training=SHORT, transfer_training=META),
    "ASMG": ASMG(FINE, window=2, training=META),
    "ASMG-Linear": ASMG(FINE, "Linear", window=(2, 3), training=META),
    "Hedge": Hedge((FINE, FullRetrain(SHORT))),
}


@pytest.mark.parametrize("name", ONES)
def test_g1_resumed_after_any_period_the_chain_is_the_same(name: str) -> None:
    check_resume(MF(width=4, biases=True), ONES[name], simulated_periods("ranking"))


@pytest.mark.parametrize("name", ONES)
def test_g4_rows_of_one_instant_may_come_in_any_order(name: str) -> None:
    check_row_order(MF(width=4, biases=True), ONES[name], simulated_periods("ranking"))


@pytest.mark.parametrize("name", ONES)
def test_g3_labels_that_mean_nothing_are_not_predicted(name: str) -> None:
    model = MF(width=4, biases=True)
    model.family = "ctr"
    periods = simulated_periods("ctr", count=8, rows=400)
    label = torch.randint(0, 2, (len(periods[-1]),), generator=torch.Generator().manual_seed(3)).float()
    mixed = [replace(logs, label=label[: len(logs)]) for logs in periods]
    logits, labels = [], []
    for checkpoint, later in zip(run_chain(model, ONES[name], mixed[:-1])[2:], mixed[3:], strict=True):
        newest = later.since(later.period)
        logits.append(_ranks(predict(model, checkpoint.weights, newest)))
        labels.append(newest.label)
    found, rows = float(auc(torch.cat(labels), torch.cat(logits))), sum(map(len, labels))
    assert abs(found - 0.5) < 3 / (3 * rows) ** 0.5, "an AUC of n/2 and n/2 rows has a spread of 1 / sqrt(3 n)"


def _ranks(values: torch.Tensor) -> torch.Tensor:
    """Ranks of a period's logits in (0, 1), so that periods can be pooled."""
    return (torch.argsort(torch.argsort(values)).double() + 0.5) / len(values)


@pytest.mark.parametrize("name", ONES)
def test_g6_a_period_delivered_again_makes_the_same_checkpoint(name: str) -> None:
    model = MF(width=4, biases=True)
    periods = simulated_periods("ranking", count=6)
    chain, strategy = run_chain(model, ONES[name], periods), ONES[name]
    again = strategy.update(model, grow(model, chain[-2], periods[-1]), recent_rows(periods[-1], strategy.lookback))
    assert_same_chains([chain[-1]], [again], "delivered again")
