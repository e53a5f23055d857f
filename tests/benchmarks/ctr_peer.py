"""FuxiCTR's side of `ctr_models`: its own classes, on the rows of a file, in a process and an environment of its own.

Run as `python ctr_peer.py CHECKOUT MODEL ROWS.npz`. Reads one order a line and answers each with one line of JSON:
`train FIRST LAST` runs its `train_step` over those batches as its own loader brings them, and says how many seconds that
took, by the clock (`waiting`: of these for the loader) and of processors (the loader's is not counted); `predict` writes the
probabilities of the held-out rows to ROWS.npz.predicted.npy. Imports nothing of nightloop.
"""

from __future__ import annotations

import importlib
import json
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
from fuxictr.features import FeatureMap
from fuxictr.pytorch.dataloaders.npz_dataloader import NpzDataLoader

BATCH, LAYERS = 4096, [400, 400, 400]
LAYERED = {"hidden_units": LAYERS}
BOTH = {"dnn_hidden_units": LAYERS}
MODELS = {  # class, where its file lies in the checkout, and its options where the defaults are others than ours
    "LR": ("LR", "LR/src", {}),
    "FM": ("FM", "FM/src", {}),
    "DeepFM": ("DeepFM", "DeepFM/DeepFM_torch/src", LAYERED),
    "NFM": ("NFM", "NFM/src", LAYERED),
    "IPNN": ("PNN", "PNN/src", LAYERED),
    "WideDeep": ("WideDeep", "WideDeep/WideDeep_torch/src", LAYERED),
    "DCN": ("DCN", "DCN/DCN_torch/src", BOTH | {"num_cross_layers": 3}),
    "DCNv2": ("DCNv2", "DCNv2/src", {"parallel_dnn_hidden_units": LAYERS, "num_cross_layers": 3}),
    "xDeepFM": ("xDeepFM", "xDeepFM/src", BOTH | {"cin_hidden_units": [16, 16, 16]}),
    "FmFM": ("FmFM", "FmFM/src", {}),
    "AFNPlus": ("AFN", "AFN/src", BOTH | {"afn_hidden_units": LAYERS, "logarithmic_neurons": 200}),
    "FinalMLP": ("FinalMLP", "FinalMLP/src", {"mlp1_hidden_units": LAYERS, "mlp2_hidden_units": LAYERS}),
}
# As its leaderboard trains: Adam at 0.001 over every row of every table at each step, L2 on whole tables, gradients clipped.
TRAINING = {
    "optimizer": "adam", "loss": "binary_crossentropy", "learning_rate": 1e-3, "metrics": ["AUC"], "verbose": 0, "gpu": -1,
    "task": "binary_classification", "embedding_dim": 10,
}  # fmt: skip
L2 = 1e-5  # of its DeepFM, DCN and AFN+ on Criteo


def built(checkout: Path, name: str, sizes: list[int]) -> tuple[torch.nn.Module, FeatureMap]:
    """The model, and its feature map of categorical columns c0, c1, ..."""
    wanted, folder, options = MODELS[name]
    sys.path.insert(0, str(checkout / "model_zoo" / folder))
    features = FeatureMap("bench", "")
    for place, size in enumerate(sizes):
        features.features[f"c{place}"] = {"source": "", "type": "categorical", "vocab_size": size}
    features.labels, features.num_fields, features.default_emb_dim = ["label"], len(sizes), TRAINING["embedding_dim"]
    penalty = {"regularizer": L2} if name in ("LR", "FM", "FmFM") else {"embedding_regularizer": L2}
    made = getattr(importlib.import_module(wanted), wanted)
    model = made(features, model_root=tempfile.gettempdir(), **TRAINING, **options, **penalty)
    model._max_gradient_norm = 10.0  # the default of its `fit`
    return model, features


def train(model: torch.nn.Module, features: FeatureMap, columns: dict[str, np.ndarray]) -> dict[str, float]:
    """One pass over the rows, as `fit` makes it with the library's loader; seconds, from when its first batch is there."""
    with tempfile.NamedTemporaryFile(suffix=".npz") as file:
        np.savez(file, **columns)
        loader = NpzDataLoader(features, file.name, batch_size=BATCH)
        batches = iter(loader)
        batch = next(batches)
        model.train()
        began, worked, waited = time.perf_counter(), time.process_time(), 0.0
        while batch is not None:
            model.train_step(batch)
            asked = time.perf_counter()
            batch = next(batches, None)
            waited += time.perf_counter() - asked
        wall = time.perf_counter() - began
    return {"wall": wall, "waiting": waited, "processor": time.process_time() - worked}


def main(checkout: Path, name: str, rows: str) -> None:
    """Obey the orders on standard input."""
    torch.manual_seed(0)
    with np.load(rows) as data:
        ids, label, sizes, trained = data["ids"], data["label"], data["sizes"].tolist(), int(data["trained"])
    model, features = built(checkout, name, sizes)
    columns = {f"c{place}": torch.from_numpy(np.ascontiguousarray(ids[:, place])) for place in range(len(sizes))}
    columns["label"] = torch.from_numpy(label)
    print("{}", flush=True)
    for order in sys.stdin:
        said: dict[str, float] = {}
        if order.startswith("train"):
            turn = slice(*(int(word) * BATCH for word in order.split()[1:]))
            said = train(model, features, {key: column[turn].numpy() for key, column in columns.items()})
        else:
            model.eval()
            with torch.no_grad():
                parts = [
                    model({key: column[start : start + BATCH] for key, column in columns.items()})["y_pred"].flatten()
                    for start in range(trained, len(label), BATCH)
                ]
            np.save(f"{rows}.predicted.npy", torch.cat(parts).numpy())
        print(json.dumps(said), flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2], sys.argv[3])
