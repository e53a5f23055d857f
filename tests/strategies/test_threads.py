"""The same bytes on any number of threads: what a strategy learns, and what its model predicts and ranks."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import pytest
import torch

from nightloop.tasks.data.logs import Logs
from nightloop.tasks.models.afn_plus import AFNPlus
from nightloop.tasks.models.caser import Caser
from nightloop.tasks.models.dcn import DCN
from nightloop.tasks.models.dcn_v2 import DCNv2
from nightloop.tasks.models.deepfm import DeepFM
from nightloop.tasks.models.embedding_mlp import EmbeddingMLP
from nightloop.tasks.models.final_mlp import FinalMLP
from nightloop.tasks.models.fm import FM
from nightloop.tasks.models.fmfm import FmFM
from nightloop.tasks.models.gru4rec import GRU4Rec
from nightloop.tasks.models.ipnn import IPNN
from nightloop.tasks.models.lightgcn import LightGCN
from nightloop.tasks.models.lr import LR
from nightloop.tasks.models.mf import MF
from nightloop.tasks.models.nfm import NFM
from nightloop.tasks.models.wide_deep import WideDeep
from nightloop.tasks.models.xdeepfm import xDeepFM
from nightloop.tasks.modules.train_config import TrainConfig
from nightloop.tasks.retraining.advance import fold, pretrain, start_chain
from nightloop.tasks.retraining.contract_data import simulated_periods
from nightloop.tasks.strategies.add_popularity import AddPopularity
from nightloop.tasks.strategies.asmg import ASMG
from nightloop.tasks.strategies.average_weights import AverageWeights
from nightloop.tasks.strategies.blend import Blend
from nightloop.tasks.strategies.ewc import EWC
from nightloop.tasks.strategies.fine_tune import FineTune
from nightloop.tasks.strategies.full_retrain import FullRetrain
from nightloop.tasks.strategies.hedge import Hedge
from nightloop.tasks.strategies.ials import IALS
from nightloop.tasks.strategies.incctr import IncCTR
from nightloop.tasks.strategies.item_knn import ItemKNN
from nightloop.tasks.strategies.kd import KD
from nightloop.tasks.strategies.l2sp import L2SP
from nightloop.tasks.strategies.popularity import Popularity
from nightloop.tasks.strategies.reloop import ReLoop
from nightloop.tasks.strategies.repeat import Repeat
from nightloop.tasks.strategies.sml import SML
from nightloop.tasks.strategies.spmf import SPMF
from nightloop.tasks.strategies.stack import Stack
from nightloop.tasks.training.predict import predict

ROWS, BATCH = 3000, 2100  # a batch is dealt into parts, and the last one of a period is not
ONE = TrainConfig(epochs=1, batch_size=BATCH)
HALF = replace(ONE, precision="bfloat16")
FIELDS = ("user", "item", "device")
LARGE: dict[str, Any] = {"fields": FIELDS, "numeric": 2, "width": 16, "hidden": (128, 64)}
MODELS: dict[str, Any] = {
    "MF": MF(width=64, biases=True),
    "LightGCN": LightGCN(width=32),
    "GRU4Rec": GRU4Rec(5, width=64),
    "Caser": Caser(5, width=32, horizontal=4, vertical=2),
    "LR": LR(FIELDS, numeric=2),
    "FM": FM(FIELDS, numeric=2, width=16),
    "FmFM": FmFM(FIELDS, numeric=2, width=16),
    "DeepFM": DeepFM(**LARGE),
    "NFM": NFM(**LARGE),
    "IPNN": IPNN(**LARGE),
    "WideDeep": WideDeep(**LARGE),
    "DCN": DCN(**LARGE),
    "DCNv2": DCNv2(**LARGE),
    "xDeepFM": xDeepFM(**LARGE),
    "AFNPlus": AFNPlus(**LARGE),
    "FinalMLP": FinalMLP(FIELDS, numeric=2, width=16),
    "EmbeddingMLP": EmbeddingMLP(FIELDS, 3, numeric=2, width=16, hidden=(64,)),
}
STRATEGIES: dict[str, Any] = {
    "FineTune": FineTune(ONE),
    "FullRetrain": FullRetrain(ONE),
    "SPMF": SPMF(size=2000, training=ONE),
    "L2SP": L2SP(training=ONE),
    "EWC": EWC(training=ONE),
    "Average": AverageWeights(FineTune(ONE, optimizer="keep")),
    "SML": SML(
        learner_training=replace(ONE, lr=0.005), transfer_training=replace(ONE, lr=0.005), rounds=1, min_steps=0
    ),
    "ASMG": ASMG(FineTune(ONE), window=2, training=ONE),
    "Hedge": Hedge((FineTune(ONE, optimizer="keep"), FullRetrain(ONE))),
}
CLICKS: dict[str, Any] = {
    "KD": KD(FineTune(ONE)),
    "IncCTR": IncCTR(FineTune(ONE), teacher=FullRetrain(ONE, window=2)),
    "ReLoop": ReLoop(FineTune(ONE)),
    "FineTune-bfloat16": FineTune(HALF),
    "Stack": Stack((FineTune(ONE), FullRetrain(ONE))),
}
POPULAR: dict[str, Any] = {
    "IALS": IALS(),
    "AddPopularity": AddPopularity(FineTune(ONE, optimizer="keep")),
    "Blend": Blend((FineTune(ONE), Popularity(), ItemKNN(), Repeat())),
    "Hedge-mix": Hedge((FineTune(ONE), Popularity(), ItemKNN()), serve="mix"),
}
ALL = STRATEGIES | CLICKS | POPULAR
PAIRS = [
    *[("FineTune", model) for model in MODELS],
    *[(strategy, "MF") for strategy in {**STRATEGIES, **POPULAR} if strategy != "FineTune"],
    *[(strategy, "DeepFM") for strategy in {**STRATEGIES, **CLICKS} if strategy != "FineTune"],
    *[("SML", model) for model in ("GRU4Rec", "EmbeddingMLP", "LightGCN")],
    *[("ASMG", model) for model in ("GRU4Rec", "EmbeddingMLP")],
]
OFTEN = {
    ("FineTune", "DeepFM"),
    ("FineTune", "GRU4Rec"),
    ("SML", "MF"),
    ("ASMG", "DeepFM"),
    ("Blend", "MF"),
    ("IALS", "MF"),
}  # the others in `make soak`


@contextmanager
def threads(number: int) -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(number)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def periods(model: Any) -> list[Logs]:
    history = getattr(model, "history", 0)
    if model.family == "ctr":
        return simulated_periods("ctr", FIELDS, numeric=2, rows=ROWS, count=3, history=history)
    return simulated_periods("ranking", rows=ROWS, count=3, history=history)


def learned(strategy: Any, model: Any, logs: list[Logs]) -> dict[str, str]:
    """Hashes of all weights after two nights, and of what the model predicts for the newest rows."""
    checkpoint = start_chain(model, strategy, pretrain(model, FullRetrain(ONE), logs[0]), logs[0])
    for night in logs[1:]:
        checkpoint = fold(model, strategy, checkpoint, night)
    found = {**checkpoint.weights, "predicted": predict(model, checkpoint.weights, logs[-1].since(logs[-1].period))}
    return {
        name: hashlib.sha256(value.contiguous().numpy().tobytes()).hexdigest()[:12] for name, value in found.items()
    }


@pytest.mark.parametrize(
    ("strategy", "model"), [pytest.param(*pair, marks=() if pair in OFTEN else pytest.mark.soak) for pair in PAIRS]
)
def test_a_checkpoint_has_the_same_bytes_on_one_two_and_four_threads(strategy: str, model: str) -> None:
    logs = periods(MODELS[model])
    made = []
    for number in (1, 2, 4):
        with threads(number):
            made.append(learned(ALL[strategy], MODELS[model], logs))
    assert made[0] == made[1] == made[2]


def test_more_rows_than_a_part_are_predicted_in_inference_mode_as_well() -> None:
    """Other threads compute the parts, and such a mode is that of one thread."""
    model, logs = MODELS["DeepFM"], periods(MODELS["DeepFM"])[0]
    weights = pretrain(model, FullRetrain(ONE), logs)
    with threads(2), torch.inference_mode():
        served = predict(model, {name: value.clone() for name, value in weights.items()}, logs, batch=700)
    torch.testing.assert_close(served, predict(model, weights, logs))
    assert len(predict(model, weights, logs.select(torch.tensor([], dtype=torch.int64)))) == 0
