"""Bake-offs of click models, and of periods of equal counts."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from sklearn.metrics import roc_auc_score
from torch import Tensor

from nightloop.tasks.evaluation.paired_difference import difference
from tests.bakeoff.make_specs import Oven, bake, oven
from tests.flows.tiny_pipeline import WORLD, make

CLICKS = {"users": 80, "items": 30, "rows": 400, "start": "2026-01-01", "kind": "impressions", "seed": 4}


@pytest.fixture
def kitchen(monkeypatch: pytest.MonkeyPatch) -> Oven:
    return oven(monkeypatch)


def test_click_models_race_by_logloss_and_auc(tmp_path: Path, kitchen: Oven, monkeypatch: pytest.MonkeyPatch) -> None:
    changes = {
        "source": {"use": "simulated", "options": CLICKS},
        "columns": {"user": "user_id", "item": "item_id", "time": "ts", "label": "clicked", "categorical": ["device"]},
        "model": {"use": "DeepFM", "options": {"width": 4}},
        "strategies": {"still": {"use": "NoUpdate"}, "tuned": {"use": "FineTune"}, "full": {"use": "FullRetrain"}},
    }
    tiny = make(tmp_path, monkeypatch, changes)
    found = bake(tiny.path, end="2026-01-05")
    assert found["metric"] == "logloss" and not any(job.do == "deal" for job in kitchen.jobs)
    lines = found["leaderboard"]["clicks"]
    assert {line["entrant"] for line in lines} == {"still", "tuned", "full"}
    assert [line["means"]["logloss"] for line in lines] == sorted(line["means"]["logloss"] for line in lines)
    (still,) = [line for line in lines if line["entrant"] == "still"]
    (tuned,) = [line for line in lines if line["entrant"] == "tuned"]
    gap = still["baselines"]["tuned"]
    assert gap["auc"]["mean"] == pytest.approx(still["means"]["auc"] - tuned["means"]["auc"], abs=1e-9)
    assert gap["logloss"]["mean"] == pytest.approx(tuned["means"]["logloss"] - still["means"]["logloss"], abs=1e-6)
    assert not still["personalisation"]
    with pytest.raises(ValueError, match="clicks are not ranked against candidates"):
        bake(tiny.path, candidates="both")


def clicks(seed: int, n: int = 3000, users: int = 150) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """Two predictions of the same rows, one a little better; rows of a user are alike."""
    g = torch.Generator().manual_seed(seed)
    user = torch.randint(users, (n,), generator=g)
    taste = torch.randn(users, generator=g)[user] + torch.randn(n, generator=g)
    label = (taste + torch.randn(n, generator=g) > 0.8).float()
    good, worse = (torch.sigmoid(taste + noise * torch.randn(n, generator=g)).round(decimals=2) for noise in (0.5, 1.0))
    none = torch.zeros(n, dtype=torch.bool)
    rows = {"user": user, "item": user, "new_user": none, "new_item": none, "label": label}
    return {**rows, "prediction": good}, {**rows, "prediction": worse}


def test_a_paired_difference_of_aucs_is_that_of_the_aucs_and_its_error_that_of_the_bootstrap() -> None:
    a, b = clicks(0)
    found = difference([(a, b)], "auc")
    one, two = (roc_auc_score(x["label"].numpy(), x["prediction"].numpy()) for x in (a, b))
    assert found is not None and found.mean == pytest.approx(one - two, abs=1e-9) and found.users == 150
    g, gaps = torch.Generator().manual_seed(1), []
    members = [(a["user"] == u).nonzero().flatten() for u in range(150)]
    for _ in range(300):
        rows = torch.cat([members[u] for u in torch.randint(150, (150,), generator=g).tolist()])
        again = [roc_auc_score(x["label"][rows].numpy(), x["prediction"][rows].numpy()) for x in (a, b)]
        gaps.append(again[0] - again[1])
    error = float(torch.tensor(gaps).std())
    assert (found.high - found.low) / 2 / 1.959964 == pytest.approx(error, rel=0.2)


def test_a_difference_of_aucs_is_none_where_it_cannot_be_told() -> None:
    a, b = clicks(0)
    few = (a["user"] < 10).nonzero().flatten()
    assert difference([({k: v[few] for k, v in a.items()}, {k: v[few] for k, v in b.items()})], "auc") is None
    none = {**a, "label": torch.zeros(3000)}
    assert difference([(none, {**b, "label": torch.zeros(3000)})], "auc") is None
    with pytest.raises(ValueError, match="same rows"):
        difference([(a, {**b, "user": b["user"].flip(0)})], "auc")


@pytest.mark.soak
def test_periods_of_equal_counts_are_collected_as_far_as_the_source_reaches(
    tmp_path: Path, kitchen: Oven, monkeypatch: pytest.MonkeyPatch
) -> None:
    tiny = make(tmp_path, monkeypatch, {"periods": {"rows": 400}, "strategies": {"tuned": {"use": "FineTune"}},
                                        "source": {"use": "files", "options": {"path": f"{tmp_path}/in/*.parquet"}}})  # fmt: skip
    tiny.deliver(0, 1, 2, 3, 4, 5, 6, 7)
    rows = sum(WORLD.day(day).num_rows for day in range(8))
    found = bake(tiny.path)
    assert [one["rows"] for one in found["history"]] == [400] * (rows // 400)
    assert found["test"] == [f"{index:06d}" for index in range(2, rows // 400)]
    with pytest.raises(LookupError, match=r"000009 cannot be collected|is not complete"):
        bake(tiny.path, end="9")
