"""Columns whose rows have several values: from lists or text to rows of the vocabulary, and the mean that models see."""

from __future__ import annotations

import json
from dataclasses import replace
from functools import reduce
from pathlib import Path

import pyarrow as pa
import pytest
import torch

from nightloop.tasks.data.clean_rows import clean_ids
from nightloop.tasks.data.load import read_logs
from nightloop.tasks.data.logs import Logs
from nightloop.tasks.data.vocabulary import empty_vocabulary, grow_vocabulary
from nightloop.tasks.lake.landing import land
from nightloop.tasks.lake.versions import replay_version
from nightloop.tasks.models.deepfm import DeepFM
from nightloop.tasks.models.embedding_mlp import EmbeddingMLP
from nightloop.tasks.modules.train_config import TrainConfig
from nightloop.tasks.plan.plan import Columns
from nightloop.tasks.retraining.contract_chains import run_chain
from nightloop.tasks.retraining.contract_data import simulated_periods
from nightloop.tasks.serving.ctr_model import Clicks
from nightloop.tasks.serving.id_map import id_map
from nightloop.tasks.strategies.spmf import SPMF
from nightloop.tasks.training.fit import fit
from nightloop.tasks.training.predict import predict
from nightloop.tasks.training.resize import initial_weights
from tests.lake.make_lake import NAMES, START, day, lake, plan

COLUMNS = NAMES.model_copy(update={"categorical": ("genres", "device"), "numeric": (), "multi_value": {"genres": 2}})
GENRES = [["b", "a"], None, ["a"], ["c", "b", "a"], []]


def delivered(genres: list[object]) -> list[pa.RecordBatch]:
    times = pa.array([START + n for n in range(5)], pa.timestamp("us", tz="UTC"))
    rest = {"u": list("vwxyz"), "i": ["1"] * 5, "t": times, "y": [1, 0, 1, 0, 1], "device": ["tv"] * 5}
    return [pa.RecordBatch.from_pydict({**rest, "genres": genres})]


def test_lists_and_text_are_read_alike(tmp_path: Path) -> None:
    texts = [None if g is None else "|".join(g) for g in GENRES]
    of_json = [json.dumps(g) for g in GENRES]
    with lake(tmp_path) as warehouse:
        for index, genres in enumerate((GENRES, texts, of_json)):
            land(warehouse, day(index), delivered(genres), COLUMNS)  # type: ignore[arg-type]
        found = []
        for index in range(3):
            vocabulary = reduce(
                grow_vocabulary, clean_ids(warehouse, plan(COLUMNS), index, 1), empty_vocabulary(COLUMNS)
            )
            assert vocabulary.ids["genres"].to_pylist() == ["b", "a", "", "c"], "in order of first sight"
            found.append(read_logs(warehouse, plan(COLUMNS), vocabulary, [(index, 1)], 0))
    for logs in found:
        assert logs.values.tolist() == [[0, 1], [2, -1], [1, -1], [3, 0], [2, -1]], "at most two; none is an id too"
        assert logs.rows[:, 2].tolist() == [0, 2, 1, 3, 2] and logs.several == (2, 2)
        assert logs.select(torch.tensor([3])).values.tolist() == [[3, 0]]


def test_a_number_that_is_none_is_a_word_in_a_list(tmp_path: Path) -> None:
    """As Python's json writes it; it ended the night with a traceback."""
    texts: list[str | None] = ["[NaN]", '["a", -Infinity]', *["a|b"] * (len(GENRES) - 2)]
    with lake(tmp_path) as warehouse:
        assert land(warehouse, day(0), delivered(texts), COLUMNS).rows == len(GENRES)  # type: ignore[arg-type]
        (genres,) = warehouse.connection.execute("SELECT list(genres ORDER BY arrival) FROM newest_logs").fetchall()[0]
    assert genres[:2] == [None, "a|-Infinity"], "NaN alone is a value that is missing, as everywhere"


@pytest.mark.parametrize(
    ("value", "why"),
    [
        ("['a', 'b']", "no list that can be read; write | between the values, or a JSON list of texts"),
        ("[98 117 108]", "no list that can be read"),
        ('["a", ["b"]]', "no list that can be read"),
        ('{"a": 1}', "no list that can be read"),
        ('["\\ud800"]', "no list that can be read"),
        ("[" * 5000, "no list that can be read"),
        ('["a", "b|c"]', "a value has a |, which separates values"),
        (["a", "b|c"], "a value has a |, which separates values"),
    ],
)
def test_a_list_that_cannot_be_read_puts_its_row_aside(value: object, why: str, tmp_path: Path) -> None:
    """A single value, which a stranger may have written, refused the whole period. A replay puts it aside again."""
    others = [["a"], ["b", "a"], ["c"], ["a"]] if isinstance(value, list) else ['["a"]', "b|a", "c", "promo [x]"]
    with lake(tmp_path) as warehouse:
        land(warehouse, day(0), delivered([*others[:2], value, *others[2:]]), COLUMNS)
        replay_version(warehouse, plan(COLUMNS), day(0), 1)
        for version in (1, 2):
            clean = warehouse.connection.execute(
                'SELECT list("user" ORDER BY arrival), list(genres ORDER BY arrival) FROM logs WHERE version = $1',
                [version],
            ).fetchone()
            assert clean is not None and clean[0] == ["v", "w", "y", "z"] and clean[1][:2] == ["a", "b|a"]
            ((raw, reason),) = warehouse.connection.execute(
                "SELECT raw, reason FROM quarantine WHERE version = $1", [version]
            ).fetchall()
            assert reason == "unreadable_row" and json.loads(raw)["user"] == "x"
            assert f"column 'genres', {why}" in json.loads(raw)["_line"]


def test_what_cannot_have_several_values() -> None:
    for several in ({"u": 2}, {"genres": 1}):
        with pytest.raises(ValueError, match="multi_value: given"):
            Columns(user="u", item="i", time="t", categorical=("genres",), multi_value=several)


def told(periods: list[Logs]) -> list[Logs]:
    """Practice logs with up to three values of the third field."""
    g = torch.Generator().manual_seed(1)
    found = []
    for logs in periods:
        more = torch.randint(-1, 4, (len(logs), 2), generator=g.manual_seed(1))
        found.append(replace(logs, values=torch.cat([logs.rows[:, 2:3], more], 1), several=(2, 2, 2)))
    return found


PERIODS = told(simulated_periods("ctr", ("user", "item", "c"), count=3, history=2))
MODELS = {
    "DeepFM": DeepFM(("user", "item", "c"), width=3, hidden=(4,)),
    "EmbeddingMLP": EmbeddingMLP(("user", "item", "c"), 2, width=3, hidden=(4,)),
}


@pytest.mark.parametrize("name", MODELS)
def test_models_see_the_mean(name: str) -> None:
    """A table with a row for each set of values, their mean, and one value a row, predicts the same."""
    model, logs = MODELS[name], PERIODS[-1]
    weights = {n: torch.randn_like(t) for n, t in initial_weights(model, logs).items()}
    means = [weights["table.c"][[v for v in row if v >= 0]].mean(0) for row in logs.values.tolist()]
    rows = torch.cat([logs.rows[:, :2], torch.arange(len(logs))[:, None]], 1)
    single = replace(logs, rows=rows, values=logs.values[:, :0], several=())
    expected = predict(model, {**weights, "table.c": torch.stack(means)}, single)
    torch.testing.assert_close(predict(model, weights, logs), expected)


@pytest.mark.parametrize("name", MODELS)
def test_all_values_of_a_row_are_learned(name: str) -> None:
    model, logs = MODELS[name], PERIODS[-1]
    row = logs.select(torch.tensor([int((logs.values >= 0).all(1).nonzero()[0])]))
    weights = {n: torch.rand_like(t) for n, t in initial_weights(model, logs).items()}
    fitted = fit(model, weights, row, TrainConfig(epochs=1)).weights
    moved = (fitted["table.c"] != weights["table.c"]).any(1).nonzero().flatten().tolist()
    assert moved == sorted(set(row.values[0].tolist()))


def test_values_that_a_table_lacks_are_left_out() -> None:
    model, logs = MODELS["DeepFM"], PERIODS[-1].select(torch.tensor([0]))
    weights = {n: torch.randn_like(t) for n, t in initial_weights(model, logs).items()}
    first = replace(logs, values=torch.tensor([[1, 99, -1]]))
    torch.testing.assert_close(
        predict(model, weights, first), predict(model, weights, replace(logs, values=torch.tensor([[1, -1, -1]])))
    )


def test_strategies_and_reservoirs_keep_them() -> None:
    chain = run_chain(MODELS["EmbeddingMLP"], SPMF(size=9, training=TrainConfig(epochs=1, batch_size=16)), PERIODS)
    assert chain[-1].memory["positives/values"].shape == (9, 3)


def test_requests_give_them_as_text() -> None:
    vocabulary = grow_vocabulary(
        empty_vocabulary(COLUMNS),
        pa.table({"period": [0], "user": ["v"], "item": ["1"], "genres": [["b", "a", "c"]], "device": ["tv"]}),
    )
    model = DeepFM(("user", "item", "genres", "device"), width=3, hidden=(4,))
    g = torch.Generator().manual_seed(0)
    tables = {f"table.{f}": torch.randn(len(vocabulary.ids[f]), 4, generator=g) for f in vocabulary.fields}
    ids = {f: id_map(vocabulary, f) for f in vocabulary.fields}
    clicks = Clicks(model, {**tables, **model.dense(g)}, ids, ("genres", "device"), (), {"genres": 2})
    logs = clicks.encoded(["v"] * 3, ["1"] * 3, {"genres": ["a|b|c", "new|c", None], "device": "tv"})
    assert logs.values.tolist() == [[1, 0], [-1, 2], [-1, -1]] and logs.several == (2, 2)
    one, two, three = clicks.score(["v"] * 3, ["1"] * 3, {"genres": ["c", "new|c", "a"], "device": "tv"})
    assert one == pytest.approx(two, abs=1e-6) and one != three
    with pytest.raises(ValueError, match="genres must be text with"):
        clicks.score(["v"], ["1"], {"genres": 7, "device": "tv"})
