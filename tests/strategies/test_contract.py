"""Every strategy keeps the contract with every model it goes with."""

import pytest

from nightloop.tasks.meta.transfer import Transfer
from nightloop.tasks.models.caser import Caser
from nightloop.tasks.models.deepfm import DeepFM
from nightloop.tasks.models.embedding_mlp import EmbeddingMLP
from nightloop.tasks.models.fm import FM
from nightloop.tasks.models.gru4rec import GRU4Rec
from nightloop.tasks.models.lightgcn import LightGCN
from nightloop.tasks.models.lr import LR
from nightloop.tasks.models.mf import MF
from nightloop.tasks.modules.train_config import TrainConfig
from nightloop.tasks.retraining.contract import all_checks, simulated_periods
from nightloop.tasks.strategies.add_popularity import AddPopularity
from nightloop.tasks.strategies.als import ALS
from nightloop.tasks.strategies.asmg import ASMG
from nightloop.tasks.strategies.average_weights import AverageWeights
from nightloop.tasks.strategies.blend import Blend
from nightloop.tasks.strategies.bpr import BPR
from nightloop.tasks.strategies.ewc import EWC
from nightloop.tasks.strategies.fine_tune import FineTune
from nightloop.tasks.strategies.full_retrain import FullRetrain
from nightloop.tasks.strategies.hedge import Hedge
from nightloop.tasks.strategies.ials import IALS
from nightloop.tasks.strategies.incctr import IncCTR
from nightloop.tasks.strategies.item_knn import ItemKNN
from nightloop.tasks.strategies.kd import KD
from nightloop.tasks.strategies.l2sp import L2SP
from nightloop.tasks.strategies.no_update import NoUpdate
from nightloop.tasks.strategies.popularity import Popularity
from nightloop.tasks.strategies.recency import Recency
from nightloop.tasks.strategies.reloop import ReLoop
from nightloop.tasks.strategies.repeat import Repeat
from nightloop.tasks.strategies.sml import SML
from nightloop.tasks.strategies.spmf import SPMF
from nightloop.tasks.strategies.stack import Stack

SHORT = TrainConfig(epochs=2, batch_size=16)
QUICK = {
    "transfer": Transfer(hidden=8), "rounds": 2,
    "learner_training": TrainConfig(epochs=1, batch_size=16, optimizer="adam", lr=0.01, l2=0.001),
    "transfer_training": TrainConfig(epochs=1, batch_size=16, lr=0.001),
}  # fmt: skip
META = {"window": 2, "training": TrainConfig(epochs=1, batch_size=16, lr=0.01)}
FIELDS = ("user", "item", "device")
MODELS = {
    "MF": MF(width=4),
    "MF-biases": MF(width=4, biases=True),
    "LightGCN": LightGCN(width=4),
    "LightGCN-incremental": LightGCN(width=4, graph="incremental", biases=True),
    "DeepFM": DeepFM(fields=FIELDS, numeric=2, width=4, hidden=(8,)),
    "LR": LR(FIELDS, numeric=2),
    "FM": FM(FIELDS, numeric=2, width=4),
    "GRU4Rec": GRU4Rec(3, width=4),
    "Caser": Caser(3, width=4, horizontal=2, vertical=1),
    "EmbeddingMLP": EmbeddingMLP(FIELDS, 3, numeric=2, width=4, hidden=(8,)),
}
LEARNERS = {
    "NoUpdate": NoUpdate(),
    "FineTune": FineTune(SHORT),
    "FullRetrain": FullRetrain(SHORT),
    "SPMF": SPMF(size=40, training=SHORT),
    "L2SP": L2SP(training=SHORT),
    "EWC": EWC(training=SHORT),
    "Average-ema": AverageWeights(FineTune(SHORT, optimizer="keep")),
    "Average-last": AverageWeights(FullRetrain(SHORT, window=2), method="last"),
}
POST_PROCESSORS = {  # with one model of each family
    "SML": SML(**QUICK),
    "SML-N-S-masked": SML(train_on="same", freeze=1, mask_inactive=True, start_from="learned", **QUICK),
    "ASMG": ASMG(FineTune(SHORT), **META),
    "ASMG-Linear": ASMG(FineTune(SHORT), "Linear", **META),
    "Hedge": Hedge((FineTune(SHORT, optimizer="keep"), FullRetrain(SHORT)), share=0.1),
}
VARIANTS = {  # what differs is the same for every model
    "FineTune-reset": FineTune(SHORT, optimizer="reset"),
    "FullRetrain-scratch-window": FullRetrain(SHORT, begin="scratch", window=2),
    "SPMF-small": SPMF(size=3, ratio=0.4, training=SHORT),
    "SML-CNN": SML(**QUICK | {"transfer": Transfer("SML-CNN", hidden=8)}),
    "SML-gated": SML(**QUICK | {"transfer": Transfer(hidden=8, gated=True, normalized=True)}),
    "SML-FC-residual": SML(**QUICK | {"transfer": Transfer("SML-FC", residual=True)}),
    "SML-average": SML(**QUICK | {"transfer": Transfer("average")}),
    "SML-mlp": SML(**QUICK | {"transfer": Transfer("mlp", hidden=8)}),
    "SML-over-FineTune": SML(FineTune(SHORT), **QUICK),
    "SML-over-SPMF": SML(SPMF(size=40, training=SHORT), **QUICK),
    "ASMG-unif-over-SPMF": ASMG(SPMF(size=40, training=SHORT), "unif", **META),
    "ASMG-single-over-L2SP": ASMG(L2SP(training=SHORT), "single", **META),
    "ASMG-zero-residual-over-SML": ASMG(SML(**QUICK), "zero", residual=True, mask_inactive=True, **META),
    "ASMG-full": ASMG(FineTune(SHORT), "full", **META),
    "ASMG-windows": ASMG(FineTune(SHORT), **META | {"window": (1, 2)}),
    "Hedge-of-all": Hedge((ASMG(FineTune(SHORT), **META), SML(**QUICK), EWC(training=SHORT)), forget=0.5),
    "Average-of-SML": AverageWeights(SML(**QUICK)),
    "Average-of-average": AverageWeights(
        AverageWeights(FineTune(SHORT), method="last", counts=(2,)), coefficients=(0.5,)
    ),
}
CLICKS = {  # of labelled logs alone
    "KD": KD(FineTune(SHORT), temperature=2),
    "KD-over-SPMF": KD(SPMF(size=40, training=SHORT)),
    "IncCTR-of-two": IncCTR(FineTune(SHORT), teacher=FullRetrain(SHORT, window=2)),
    "ReLoop-over-SPMF": ReLoop(SPMF(size=40, training=SHORT)),
    "ReLoop-over-all-history": ReLoop(FullRetrain(SHORT)),
    "SML-over-ReLoop": SML(ReLoop(FullRetrain(SHORT, window=3)), **QUICK),
    "Stack": Stack((FineTune(SHORT, optimizer="keep"), FullRetrain(SHORT, window=2), NoUpdate())),
    "ASMG-over-KD": ASMG(KD(FineTune(SHORT)), **META),
}
POPULAR = {"AddPopularity": AddPopularity(FineTune(SHORT, optimizer="keep"))}  # of an MF with biases alone
CONTROLS = {
    "Popularity": Popularity(),
    "Recency": Recency(),
    "Repeat": Repeat(),
    "ItemKNN": ItemKNN(top=5),
    "IALS": IALS(start_sweeps=3),
    "ALS": ALS(iterations=2),
    "BPR": BPR(epochs=2),
}
CONTROLS["Blend"] = Blend((FineTune(SHORT, optimizer="keep"), Popularity(), ItemKNN(), Repeat()))
CONTROLS["Hedge-mix"] = Hedge((FineTune(SHORT), Popularity(), ItemKNN(top=5)), eta=2.0, serve="mix")
TOGETHER = [
    *[(strategy, model) for strategy in LEARNERS for model in ("MF-biases", "DeepFM")],
    *[(strategy, "MF") for strategy in ("NoUpdate", "FineTune", "SPMF")],
    *[(strategy, model) for strategy in POST_PROCESSORS for model in ("MF-biases", "DeepFM")],
    *[(strategy, "MF") for strategy in VARIANTS],
    *[(strategy, "MF-biases") for strategy in POPULAR],
    *[(strategy, "DeepFM") for strategy in CLICKS],
    ("KD-over-SPMF", "LR"),
    ("ReLoop-over-all-history", "FM"),
    *[(strategy, "LightGCN") for strategy in ("FullRetrain-scratch-window", "SPMF", "ASMG", "SML")],
    *[(strategy, "LightGCN-incremental") for strategy in ("FineTune", "Hedge")],
    *[(strategy, "GRU4Rec") for strategy in ("FineTune", "SPMF", "SML")],
    *[(strategy, "Caser") for strategy in ("FineTune", "FullRetrain", "ASMG-Linear")],
    *[(strategy, "EmbeddingMLP") for strategy in ("FineTune", "ASMG")],
    *[(strategy, model) for strategy in CONTROLS for model in ("MF", "MF-biases")],
]
LONG = {  # in `make soak`: CI has 25 minutes
    *[(strategy, "MF") for strategy in VARIANTS],
    *[(strategy, "LightGCN") for strategy in ("FullRetrain-scratch-window", "SPMF", "ASMG")],
    *[(strategy, "DeepFM") for strategy in ("SML-N-S-masked", "ASMG-Linear", "SML-over-ReLoop")],
    *[(strategy, "Caser") for strategy in ("FullRetrain", "ASMG-Linear")],
    ("ReLoop-over-all-history", "FM"),
    ("Hedge", "LightGCN-incremental"),
    *[(strategy, "GRU4Rec") for strategy in ("SPMF", "SML")],
    *[(strategy, "DeepFM") for strategy in ("Hedge", "ASMG-over-KD")],
}
ALL = {**LEARNERS, **POST_PROCESSORS, **VARIANTS, **CLICKS, **POPULAR, **CONTROLS}


def periods_for(model):
    history = getattr(MODELS[model], "history", 0)
    if MODELS[model].family == "ctr":
        return simulated_periods("ctr", FIELDS, numeric=2, history=history)
    return simulated_periods("ranking", history=history)


def sample() -> list[object]:
    """Every check of every strategy on its first model; of the other models every fifth one, the rest in `make soak`."""
    checks, found, firsts = all_checks(), [], set()
    for number, (strategy, model) in enumerate(TOGETHER):
        first = strategy not in firsts and (strategy, model) not in LONG
        firsts |= {strategy} if first else set()
        for place, check in enumerate(checks):
            now = first or ((number + place) % 5 == 0 and (strategy, model) not in LONG)
            marks = () if now else pytest.mark.soak
            name = f"{strategy}-{model}-{check.__name__.removeprefix('check_')}"
            found.append(pytest.param(check, strategy, model, marks=marks, id=name))
    return found


@pytest.mark.parametrize(("check", "strategy", "model"), sample())
def test_contract(check, strategy, model):
    if strategy in ("ALS", "BPR"):
        pytest.importorskip("implicit")
    check(MODELS[model], ALL[strategy], periods_for(model))
