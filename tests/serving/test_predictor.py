"""Predictor: what was evaluated serves; strangers are served; a new champion is noticed, a broken one refused."""

from __future__ import annotations

import logging
import subprocess
import sys
import threading
from pathlib import Path

import pyarrow as pa
import pytest
import torch

from nightloop.tasks.data.vocabulary import Vocabulary
from nightloop.tasks.lake.values import as_text, id_of
from nightloop.tasks.models import build
from nightloop.tasks.models.lightgcn import LightGCN
from nightloop.tasks.modules.checkpoint import from_bytes, to_bytes
from nightloop.tasks.modules.train_config import TrainConfig
from nightloop.tasks.objects.objects import Directory
from nightloop.tasks.plan.plan import Part, Plan
from nightloop.tasks.retraining.contract_chains import run_chain
from nightloop.tasks.retraining.contract_data import simulated_periods
from nightloop.tasks.serving.ctr_model import as_logs
from nightloop.tasks.serving.id_map import IdMap
from nightloop.tasks.serving.load import build_model
from nightloop.tasks.serving.predictor import Predictor
from nightloop.tasks.strategies.fine_tune import FineTune
from nightloop.tasks.training.predict import predict
from tests.serving import make_store as made

HOUSE = Path(__file__).parents[2]


@pytest.fixture
def place(tmp_path: Path) -> Path:
    return tmp_path / "store"


def opened(place: Path, plan: Plan) -> Predictor:
    objects, _ = made.store(place, plan)
    return Predictor.open(objects, plan.pipeline)


@pytest.mark.parametrize("biases", [False, True])
def test_scores_are_the_models_own_logits(place: Path, biases: bool) -> None:
    plan = made.ranking_plan(biases)
    predictor = opened(place, plan)
    users, items = [3, 0, 11, 7], [29, 0, 5, 5]
    rows = [torch.tensor(users), torch.tensor(items)]
    model = build("MF", plan.model.options, ("user", "item"), 0)
    expected = predict(model, made.weights(plan), as_logs(("user", "item"), rows, torch.zeros(4, 0)))
    found = predictor.score([f"u{u}" for u in users], [f"i{i}" for i in items])
    assert found == pytest.approx(expected.tolist(), abs=1e-6)


def test_a_graph_kept_beside_the_weights_serves(tmp_path: Path) -> None:
    periods = simulated_periods("ranking")
    model = LightGCN(width=4)
    made_of = run_chain(model, FineTune(TrainConfig(epochs=2)), periods)[-1]
    plan = made.ranking_plan().model_copy(update={"model": Part(use="LightGCN", options={"width": 4})})
    names = [
        [f"{field[0]}{n}" for n in range(size)] for field, size in zip(("user", "item"), periods[-1].sizes, strict=True)
    ]
    words = Vocabulary({f: pa.array(n, pa.large_string()) for f, n in zip(("user", "item"), names, strict=True)}, {})
    served = build_model(plan, from_bytes(to_bytes(made_of.weights)), words)
    pairs = periods[-1].select(torch.arange(20))
    asked = [[names[j][row] for row in pairs.rows[:, j]] for j in (0, 1)]
    assert served.score(*asked, {}) == pytest.approx(predict(model, made_of.weights, pairs).tolist(), abs=1e-6)


def test_recommends_the_best_items_best_first(place: Path) -> None:
    predictor = opened(place, made.ranking_plan())
    everything = {f"i{n}": s for n, s in enumerate(predictor.score(["u4"] * 30, [f"i{n}" for n in range(30)]))}
    ranked = sorted(everything, key=everything.__getitem__, reverse=True)
    found = predictor.recommend("u4", k=5, exclude={ranked[0], "never seen"})
    assert [item for item, _ in found] == ranked[1:6]
    assert [score for _, score in found] == pytest.approx([everything[i] for i in ranked[1:6]], abs=1e-6)
    assert len(predictor.recommend("u4", k=1000, exclude=ranked[:10])) == 20
    assert predictor.recommend("u4", exclude=ranked) == []


@pytest.mark.parametrize("stranger", ["nobody", "", None, 4, "../x", "u" * 100_000, "'; DROP TABLE x", "\x00"])
def test_a_stranger_gets_the_mean_user(place: Path, stranger: object) -> None:
    predictor = opened(place, made.ranking_plan())
    tables = made.weights(made.ranking_plan())
    mean = tables["table.item"] @ tables["table.user"].mean(0)
    found = predictor.recommend(stranger, k=3)
    assert [item for item, _ in found] == [f"i{n}" for n in mean.topk(3).indices.tolist()]
    assert predictor.score([stranger], ["i2"]) == pytest.approx([float(mean[2])], abs=1e-6)
    assert predictor.score(["u1", stranger], [stranger, stranger]) == [0.0, 0.0]


def test_ids_are_text_whatever_type_they_come_in() -> None:
    ids = IdMap(["", "17", "True"], {"": 0, "17": 1, "True": 2})
    assert ids.rows([17, "17", None, True, 17.0, " 17.0", "017"]).tolist() == [1, 1, 0, 2, 1, 1, -1]


@pytest.mark.parametrize(
    "value", [True, False, 17, -3, 10**18, 17.0, -0.0, 0.1, 1e-05, 1e-07, 1e16, 1e22, float("nan"), "True", " a ", "1e-05", "null"]
)  # fmt: skip
def test_an_id_of_a_request_is_written_as_the_lake_writes_it(value: object) -> None:
    text = as_text(pa.array([value]))[0].as_py()
    assert id_of(value) == text
    assert IdMap([text or ""], {text or "": 0}).rows([value]).tolist() == [0]


@pytest.mark.parametrize("k", [0, -1, 2.5, None])
def test_a_bad_k_is_refused(place: Path, k: object) -> None:
    with pytest.raises(ValueError, match="k: given"):
        opened(place, made.ranking_plan()).recommend("u1", k=k)  # type: ignore[arg-type]


def test_pairs_and_features_must_fit(place: Path) -> None:
    predictor = opened(place, made.ranking_plan())
    with pytest.raises(ValueError, match="give pairs"):
        predictor.score(["u1", "u2"], ["i1"])
    with pytest.raises(ValueError, match="without features"):
        predictor.score(["u1"], ["i1"], {"device": "d1"})


def test_click_models_predict_probabilities_in_context(place: Path) -> None:
    plan = made.click_plan()
    predictor = opened(place, plan)
    rows = [torch.tensor([2, -1]), torch.tensor([7, 7]), torch.tensor([1, -1])]
    model = build("DeepFM", plan.model.options, ("user", "item", "device"), 1)
    logs = as_logs(("user", "item", "device"), rows, torch.tensor([[0.5], [2.0]]))
    expected = torch.sigmoid(predict(model, made.weights(plan), logs)).tolist()
    features = {"device": ["d1", "toaster"], "age": [0.5, 2]}
    assert predictor.score(["u2", "nobody"], ["i7", "i7"], features) == pytest.approx(expected, abs=1e-6)
    best = predictor.recommend("u2", k=2, features={"device": "d1", "age": 0.5})
    single = predictor.score(["u2"], [best[0][0]], {"device": "d1", "age": 0.5})
    assert single == pytest.approx([best[0][1]], abs=1e-6) and best[0][1] >= best[1][1]


@pytest.mark.parametrize(
    "features", [{}, {"device": "d1"}, {"device": "d1", "age": "old"}, {"device": "d1", "age": [1, 2]},
                 {"device": "d1", "age": float("nan")}, {"device": "d1", "age": 1, "colour": "red"}]
)  # fmt: skip
def test_features_that_do_not_fit_are_refused(place: Path, features: dict[str, object]) -> None:
    with pytest.raises(ValueError, match="features"):
        opened(place, made.click_plan()).score(["u1"], ["i1"], features)


def test_no_champion_says_what_to_do(place: Path) -> None:
    objects = Directory(place)
    made.night(objects, made.ranking_plan())
    with pytest.raises(LookupError, match=r"nightloop promote .*books"):
        Predictor.open(objects, "books")


@pytest.mark.parametrize("part", ["weights", "vocabulary"])
@pytest.mark.parametrize("data", [b"", b"not safetensors", None])
def test_changed_or_missing_blobs_are_not_parsed(place: Path, part: str, data: bytes | None) -> None:
    objects, manifest = made.store(place, made.ranking_plan())
    sha = manifest.checkpoints["FineTune"].weights if part == "weights" else manifest.vocabulary
    made.damage(place, str(sha), data)
    with pytest.raises((ValueError, FileNotFoundError), match="blobs/"):
        Predictor.open(objects, "books")


def test_a_new_champion_is_noticed_once(place: Path) -> None:
    plan = made.ranking_plan()
    objects, _ = made.store(place, plan)
    predictor = Predictor.open(objects, "books")
    before = predictor.recommend("u1", k=1)
    assert not predictor.refresh() and predictor.version.number == 1
    made.promote(objects, made.night(objects, plan, 1, seed=9), expect=1)
    assert predictor.refresh() and not predictor.refresh()
    assert predictor.version.period == 1 and predictor.recommend("u1", k=1) != before


def test_a_champion_that_does_not_load_leaves_the_old_one_serving(
    place: Path, caplog: pytest.LogCaptureFixture
) -> None:
    plan = made.ranking_plan()
    objects, _ = made.store(place, plan)
    predictor = Predictor.open(objects, "books")
    before = predictor.recommend("u1")
    newer = made.night(objects, plan, 1, seed=9)
    made.promote(objects, newer, expect=1)
    good = (place / "blobs" / newer.checkpoints["FineTune"].weights).read_bytes()
    made.damage(place, newer.checkpoints["FineTune"].weights, b"rubbish")
    with caplog.at_level(logging.ERROR):
        assert not predictor.refresh()
    assert "does not load" in caplog.text and "It is not used" in predictor.problem
    assert predictor.recommend("u1") == before and predictor.version.number == 1
    with pytest.raises(ValueError, match="It is not used"):
        predictor.reload()
    made.damage(place, newer.checkpoints["FineTune"].weights, good)
    assert predictor.refresh() and predictor.problem == "" and predictor.version.number == 2


def test_a_store_that_does_not_answer_is_no_reason_to_roll_back(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    objects, _ = made.store(place, made.ranking_plan())
    predictor = Predictor.open(objects, "books")
    with monkeypatch.context() as patch:
        patch.setattr(
            type(objects), "read", lambda *_: (_ for _ in ()).throw(ConnectionError("s3://b does not answer"))
        )
        assert not predictor.refresh()
    assert "not known whether there is a new champion" in predictor.problem and "rollback" not in predictor.problem
    assert not predictor.refresh() and predictor.problem == ""


def test_checkpoint_and_vocabulary_of_different_nights_are_refused(place: Path) -> None:
    from nightloop.tasks.serving.load import build_model

    plan = made.ranking_plan()
    short = {name: table[:-1] for name, table in made.weights(plan).items()}
    with pytest.raises(ValueError, match="different nights"):
        build_model(plan, short, made.vocabulary(plan))
    broken = {name: table.clone().fill_(float("nan")) for name, table in made.weights(plan).items()}
    with pytest.raises(ValueError, match="NaN"):
        build_model(plan, broken, made.vocabulary(plan))


def test_requests_see_one_champion_whole_while_it_changes(place: Path) -> None:
    plan = made.ranking_plan()
    objects, _ = made.store(place, plan)
    predictor, nights, wrong = Predictor.open(objects, "books"), 6, []
    answers = {tuple(predictor.recommend("u1", 3)) if n == 0 else None for n in range(1)}
    stop = threading.Event()

    def ask() -> None:
        while not stop.is_set():
            seen.add(tuple(predictor.recommend("u1", 3)))

    seen: set[tuple[tuple[str, float], ...]] = set()
    threads = [threading.Thread(target=ask) for _ in range(3)]
    for thread in threads:
        thread.start()
    for n in range(1, nights):
        made.promote(objects, made.night(objects, plan, n, seed=n), expect=n)
        if not predictor.refresh():
            wrong.append(n)
        answers.add(tuple(predictor.recommend("u1", 3)))
    stop.set()
    for thread in threads:
        thread.join()
    assert not wrong and seen <= answers and len(answers) == nights


def test_imports_without_prefect_the_lake_and_great_expectations() -> None:
    code = (
        "import sys, nightloop.tasks.serving.predictor, nightloop.tasks.objects.objects; print(' '.join(sys.modules))"
    )
    found = subprocess.run([sys.executable, "-c", code], cwd=HOUSE, capture_output=True, text=True, check=True)
    loaded = {name.split(".")[0] for name in found.stdout.split()}
    assert "torch" in loaded
    assert not loaded & {"prefect", "duckdb", "great_expectations", "pandas", "matplotlib", "boto3", "sqlalchemy"}
