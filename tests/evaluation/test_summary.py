"""The table of means: every slice, nothing undefined, and errors instead of NaN."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from nightloop.tasks.evaluation.summary import SLICES, direction, per_interaction, slice_rows, summarize_metrics


def ranked(n: int = 60) -> dict[str, Tensor]:
    g = torch.Generator().manual_seed(0)
    return {
        "user": torch.randint(9, (n,), generator=g),
        "item": torch.randint(30, (n,), generator=g),
        "new_user": torch.rand(n, generator=g) < 0.3,
        "new_item": torch.rand(n, generator=g) < 0.2,
        "above": torch.randint(40, (n,), generator=g, dtype=torch.int32),
        "equal": torch.randint(3, (n,), generator=g, dtype=torch.int32),
    }


def clicked(n: int = 200) -> dict[str, Tensor]:
    g = torch.Generator().manual_seed(1)
    label = (torch.rand(n, generator=g) < 0.4).float()
    columns = {k: v for k, v in ranked(n).items() if k not in ("above", "equal")}
    return {**columns, "label": label, "prediction": torch.rand(n, generator=g)}


def test_ranking_means_are_means_of_rows_and_slices_add_up() -> None:
    scored = ranked()
    found = summarize_metrics(scored, "ranking")
    for metric in ("recall@5", "recall@10", "recall@20", "ndcg@5", "ndcg@10", "ndcg@20"):
        each = per_interaction(scored, metric)
        assert found[metric] == pytest.approx(float(each.mean()))
        for name in SLICES:
            assert found[f"{metric}/{name}"] == pytest.approx(float(each[slice_rows(scored, name)].mean()))
    assert found["rows"] == 60 == found["rows/new_user"] + found["rows/old_user"]
    assert "catalogue_recall@5" not in found


def test_the_catalogue_is_in_the_table_where_it_was_ranked() -> None:
    scored = ranked()
    scored |= {"catalogue_above": scored["above"] * 10, "catalogue_equal": scored["equal"]}
    found = summarize_metrics(scored, "ranking", ks=(7,))
    assert found["catalogue_recall@7"] == pytest.approx(float(per_interaction(scored, "catalogue_recall@7").mean()))
    assert "recall@5" not in found
    with pytest.raises(ValueError, match="catalogue: true"):
        per_interaction(ranked(), "catalogue_ndcg@7")


def test_rows_that_were_not_ranked_against_the_catalogue_do_not_count() -> None:
    scored = ranked()
    part = torch.arange(60) % 3 == 0
    scored |= {f"catalogue_{name}": torch.where(part, scored[name] * 10, -1) for name in ("above", "equal")}
    found = summarize_metrics(scored, "ranking", ks=(7,))
    alone = summarize_metrics({name: column[part] for name, column in scored.items()}, "ranking", ks=(7,))
    catalogue = {name: value for name, value in alone.items() if name.startswith("catalogue_")}
    assert len(catalogue) == 10 and catalogue.items() <= found.items()
    none = scored | {f"catalogue_{name}": torch.full((60,), -1) for name in ("above", "equal")}
    assert not [name for name in summarize_metrics(none, "ranking") if name.startswith("catalogue_")]
    with pytest.raises(ValueError, match="catalogue: true"):
        per_interaction(scored, "catalogue_ndcg@7")


def test_clicks() -> None:
    found = summarize_metrics(clicked(), "ctr")
    assert {"auc", "gauc", "logloss", "ece", "calibration", "auc/new_user", "logloss/old_item"} <= found.keys()
    assert all(math.isfinite(v) for v in found.values())
    assert float(per_interaction(clicked(), "logloss").mean()) == pytest.approx(found["logloss"])


@pytest.mark.parametrize("value", [0.0, 1.0])
def test_a_single_class_leaves_out_what_is_not_defined(value: float) -> None:
    scored = clicked()
    scored["label"] = torch.full_like(scored["label"], value)
    found = summarize_metrics(scored, "ctr")
    assert "auc" not in found and "gauc" not in found and "logloss" in found
    assert ("calibration" in found) == bool(value)


def test_users_of_one_class_each_have_no_gauc_but_an_auc() -> None:
    scored = clicked(20)
    scored["label"] = (scored["user"] % 2).float()
    found = summarize_metrics(scored, "ctr")
    assert "auc" in found and "gauc" not in found


def test_no_rows_and_one_row() -> None:
    for family, scored in (("ranking", ranked()), ("ctr", clicked())):
        none = {k: v[:0] for k, v in scored.items()}
        one = {k: v[:1] for k, v in scored.items()}
        assert summarize_metrics(none, family)["rows"] == 0
        assert summarize_metrics(one, family)["rows"] == 1


def test_nan_missing_columns_and_unequal_lengths_are_errors() -> None:
    bad = clicked()
    bad["prediction"][3] = float("nan")
    with pytest.raises(ValueError, match="NaN"):
        summarize_metrics(bad, "ctr")
    short = ranked()
    short["above"] = short["above"][:-1]
    with pytest.raises(ValueError, match="must be"):
        summarize_metrics(short, "ranking")
    lacking = ranked()
    del lacking["equal"]
    with pytest.raises(ValueError, match="equal"):
        summarize_metrics(lacking, "ranking")
    with pytest.raises(ValueError, match="family"):
        summarize_metrics(ranked(), "sequence")


def test_metrics_of_rows_and_their_direction() -> None:
    assert (direction("logloss"), direction("ndcg@20")) == (-1, 1)
    for name in ("gauc", "recall@", "precision@5", "ndcg"):
        with pytest.raises(ValueError, match="no metric"):
            per_interaction(ranked(), name)
    with pytest.raises(ValueError, match="no slice"):
        slice_rows(ranked(), "old")
