"""A strategy from a plan: right ones are built, wrong ones refused with every mistake and every legal name."""

from dataclasses import replace

import pytest

from nightloop.tasks.modules.train_config import TrainConfig
from nightloop.tasks.plan.plan import Part
from nightloop.tasks.plan.plugins import classes
from nightloop.tasks.strategies import build
from nightloop.tasks.strategies.average_weights import AverageWeights
from nightloop.tasks.strategies.fine_tune import FineTune
from nightloop.tasks.strategies.full_retrain import FullRetrain
from nightloop.tasks.strategies.hedge import Hedge


def refused(use, **options):
    with pytest.raises(ValueError) as caught:
        build(Part(use=use, options=options))
    return str(caught.value)


def test_ours_are_found_by_entry_point():
    assert {"NoUpdate", "FullRetrain", "FineTune", "AverageWeights"} <= set(classes("strategy"))
    assert list(classes("strategy")) == sorted(classes("strategy"))


def test_defaults():
    assert build(Part(use="FineTune")) == FineTune()


def test_options_of_yaml_shape():
    given = {
        "learner": {"use": "FullRetrain", "options": {"window": 3, "training": {"epochs": 2, "lr": 1}}},
        "counts": [2, 4],
    }
    made = build(Part(use="AverageWeights", options={**given, "method": "last"}))
    learner = FullRetrain(TrainConfig(epochs=2, lr=1, l2=0.03), window=3)
    assert made == AverageWeights(learner, method="last", counts=(2, 4))
    assert hash(made) == hash(AverageWeights(learner, method="last", counts=(2, 4)))


def test_a_training_that_names_some_settings_keeps_the_strategys_defaults_in_the_others():
    """`training: {device: cuda}` must not change how long and how fast is trained."""
    for use, option in (
        ("FineTune", "training"),
        ("EWC", "training"),
        ("SML", "learner_training"),
        ("SML", "transfer_training"),
    ):
        made, default = build(Part(use=use, options={option: {"parts": 1}})), build(Part(use=use))
        assert getattr(made, option) == replace(getattr(default, option), parts=1)
    sml = build(Part(use="SML", options={"transfer": {"form": "average"}}))
    assert sml.transfer == replace(build(Part(use="SML")).transfer, form="average")
    assert "learner_training.colour: no such option of TrainConfig" in refused("SML", learner_training={"colour": 1})


def test_a_bare_name_is_a_learner():
    assert build(Part(use="AverageWeights", options={"learner": "FineTune"})) == AverageWeights(FineTune())


def test_several_strategies_are_a_list():
    given = ["FineTune", {"use": "FullRetrain", "options": {"window": 3}}]
    made = build(Part(use="Hedge", options={"candidates": given}))
    assert made == Hedge((FineTune(), FullRetrain(window=3)))
    assert hash(made) == hash(Hedge((FineTune(), FullRetrain(window=3))))


def test_mistakes_of_several_carry_their_place():
    bad = {"use": "AverageWeights", "options": {"learner": {"use": "FineTune", "options": {"optimizer": "drop"}}}}
    said = refused("Hedge", candidates=["FineTune", bad, "Nobody", 3])
    for part in ("candidates[1].learner.optimizer", "candidates[2]: no strategy 'Nobody'", "candidates[3]: given 3"):
        assert part in said, f"{part!r} is not in: {said}"
    assert "candidates: given 'FineTune'; it is a list" in refused("Hedge", candidates="FineTune")
    assert "there must be one" in refused("Hedge", candidates=[])


def test_an_unknown_name_lists_what_is_installed():
    said = refused("FineTuna")
    assert "'FineTuna'" in said and "FineTune" in said and "NoUpdate" in said


def test_every_mistake_is_reported_at_once():
    said = refused("FullRetrain", begin="cold", window="many", epoch=3, training={"epochs": "x", "batches": 4})
    for part in (
        "begin",
        "'warm' or 'scratch'",
        "window",
        "'many'",
        "epoch:",
        "training.epochs",
        "training.batches",
        "dense_lr",
    ):
        assert part in said, f"{part!r} is not in: {said}"


def test_mistakes_of_a_learner_carry_its_path():
    said = refused("AverageWeights", learner={"use": "FineTune", "options": {"optimizer": "drop"}}, method="mean")
    assert "learner.optimizer" in said and "'reset' or 'keep'" in said and "method" in said
    assert "learner" in refused("AverageWeights", learner={"use": "Nobody"})
    assert "learner" in refused("AverageWeights", learner=3)
    assert "learner: AverageWeights needs it" in refused("AverageWeights")


@pytest.mark.parametrize(
    ("use", "options", "said"),
    [
        ("FullRetrain", {"window": 0}, "1 or more"),
        ("FullRetrain", {"window": -3}, "1 or more"),
        ("AverageWeights", {"learner": "FineTune", "coefficients": [1.0]}, "0 <= a < 1"),
        ("AverageWeights", {"learner": "FineTune", "coefficients": []}, "0 <= a < 1"),
        ("AverageWeights", {"learner": "FineTune", "counts": [0]}, "1 to 1,000"),
        ("Hedge", {"candidates": ["FineTune"], "eta": 0}, "above 0"),
        ("Hedge", {"candidates": ["FineTune"], "forget": 1.5}, "0 to 1"),
        ("Hedge", {"candidates": ["FineTune"], "share": 1}, "0 <= share < 1"),
        ("ASMG", {"learner": "FineTune", "window": 0}, "1 to 1,000"),
        ("ASMG", {"learner": "FineTune", "window": []}, "1 to 1,000"),
        ("ASMG", {"learner": "FineTune", "window": [2, 2]}, "differ"),
        ("ASMG", {"learner": "FineTune", "window": [2, 3], "variant": "full"}, "full has all"),
        ("ASMG", {"learner": "FineTune", "variant": "GRU"}, "'multi'"),
        ("ASMG", {"learner": "FineTune", "hidden": 0}, "from 1 to 1,000"),
        ("ASMG", {"learner": "FineTune", "residual": True, "variant": "Linear"}, "GRUs"),
        ("FineTune", {"training": {"lr": -1}}, "lr"),
        ("FineTune", {"training": {"epochs": -1}}, "epochs"),
        ("FineTune", {"training": {"epochs": 10**9}}, "0 to 1,000"),
        ("FineTune", {"training": {"batch_size": 10**30}}, "1 to 100,000,000"),
        ("AverageWeights", {"learner": "FineTune", "counts": [1, 10**9]}, "1 to 1,000"),
        ("ASMG", {"learner": "FineTune", "window": 10**9}, "1 to 1,000"),
        ("ASMG", {"learner": "FineTune", "hidden": 10**9}, "1 to 1,000"),
        ("SML", {"rounds": 10**9}, "1 to 1,000"),
        ("SML", {"transfer": {"filters": [10**9, 5]}}, "1 to 10,000"),
        ("SML", {"transfer": {"hidden": 10**9}}, "1 to 10,000"),
        ("SPMF", {"size": 10**30}, "0 to 100,000,000"),
        ("FineTune", {"training": 7}, "mapping"),
        ("NoUpdate", {"anything": 1}, "none"),
    ],
)
def test_impossible_values(use, options, said):
    assert said in refused(use, **options)


def test_long_and_strange_names_do_not_flood_the_message():
    said = refused("FineTune", **{"x" * 1_000_000: 1, "'; DROP TABLE logs": 2})
    assert len(said) < 1000 and "DROP TABLE" in said
    assert len(refused("n" * 1_000_000)) < 1000


def test_a_learner_that_may_be_left_out_is_made_from_yaml_too():
    made = build(
        Part(use="SML", options={"learner": {"use": "FineTune", "options": {"optimizer": "reset"}}, "rounds": 2})
    )
    assert made.learner == FineTune(optimizer="reset")
    assert build(Part(use="SML", options={"learner": None})).learner is None
    with pytest.raises(ValueError, match=r"learner: no strategy 'FineTunes'"):
        build(Part(use="SML", options={"learner": "FineTunes"}))
