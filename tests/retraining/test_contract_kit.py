"""The contract can fail: each check catches a strategy that breaks its promise."""

import random
from dataclasses import dataclass, field, replace
from itertools import pairwise

import pytest
import torch

from nightloop.tasks.models.mf import MF
from nightloop.tasks.modules.checkpoint import Checkpoint
from nightloop.tasks.retraining import contract
from nightloop.tasks.retraining.contract import all_checks, simulated_periods

MODEL = MF(width=3)


@dataclass(frozen=True)
class Honest:
    """Keeps the contract; the others below break it in one place."""

    lookback: int = 1
    seen: list[int] = field(default_factory=list, compare=False, repr=False)

    def start(self, model, weights, logs):
        return Checkpoint(logs.period, weights)

    def update(self, model, checkpoint, logs):
        return self.learn(checkpoint, logs)

    def learn(self, checkpoint, logs):
        return Checkpoint(logs.period, moved(checkpoint.weights, 0.9), checkpoint.memory)


def moved(weights, factor):
    return {name: tensor * factor for name, tensor in weights.items()}


class Mutates(Honest):
    def learn(self, checkpoint, logs):
        checkpoint.weights["table.user"].mul_(0.9)
        return Checkpoint(logs.period, dict(checkpoint.weights))


class MutatesLogs(Honest):
    def learn(self, checkpoint, logs):
        logs.label.mul_(0.5)
        return super().learn(checkpoint, logs)


class Rolls(Honest):
    def learn(self, checkpoint, logs):
        return Checkpoint(logs.period, moved(checkpoint.weights, random.random()))


class RollsTorch(Honest):
    def learn(self, checkpoint, logs):
        return Checkpoint(logs.period, moved(checkpoint.weights, float(torch.rand(()))))


class RemembersOutside(Honest):
    def learn(self, checkpoint, logs):
        self.seen.append(len(logs))
        return Checkpoint(logs.period, moved(checkpoint.weights, 1 / len(self.seen)))


class RemembersRows(Honest):
    """What it saw of any later period comes back when history is told again."""

    def learn(self, checkpoint, logs):
        factor = 0.9 + 0.001 * (len(self.seen) + int(logs.rows[0, 1]) % 7)
        self.seen.append(1)
        return Checkpoint(logs.period, moved(checkpoint.weights, factor))


class Shrinks(Honest):
    def learn(self, checkpoint, logs):
        return Checkpoint(logs.period, {name: tensor[:-1] for name, tensor in checkpoint.weights.items()})


class KeepsShortMemory(Honest):
    def learn(self, checkpoint, logs):
        return Checkpoint(logs.period, checkpoint.weights, {"counts/table.user": torch.zeros(3)})


class DividesByRows(Honest):
    def learn(self, checkpoint, logs):
        return Checkpoint(logs.period, moved(checkpoint.weights, float(torch.tensor(0.0) / len(logs)) + 1))


class DividesByNegatives(Honest):
    def learn(self, checkpoint, logs):
        spread = logs.label.std() / logs.label.std()
        return Checkpoint(logs.period, moved(checkpoint.weights, float(spread)))


class NeedsTwoRows(Honest):
    def learn(self, checkpoint, logs):
        return Checkpoint(logs.period, moved(checkpoint.weights, 1.0 if len(logs) > 1 else torch.nan))


class NamesBadly(Honest):
    def learn(self, checkpoint, logs):
        return Checkpoint(logs.period, checkpoint.weights, {"../evil": torch.zeros(1)})


class KeepsAList(Honest):
    def learn(self, checkpoint, logs):
        return Checkpoint(logs.period, checkpoint.weights, {"past": [1.0, 2.0]})


class SaysYesterday(Honest):
    def learn(self, checkpoint, logs):
        return Checkpoint(checkpoint.period, checkpoint.weights)


class LovesTheLastRow(Honest):
    def learn(self, checkpoint, logs):
        factor = 1.0 + 30.0 * float(logs.rows[-1, 1] % 2)
        return Checkpoint(logs.period, moved(checkpoint.weights, factor))


CAUGHT = {
    "check_inputs_unchanged": (Mutates, MutatesLogs),
    "check_determinism": (Rolls, RollsTorch, RemembersOutside),
    "check_resume": (RemembersOutside,),
    "check_fold_equals_nights": (RemembersOutside,),
    "check_causality": (RemembersOutside, RemembersRows),
    "check_growth": (KeepsShortMemory,),
    "check_single_row": (NeedsTwoRows,),
    "check_empty_period": (DividesByRows, NeedsTwoRows),
    "check_one_class": (DividesByNegatives,),
    "check_finite": (DividesByNegatives,),
    "check_unseen_ids": (DividesByNegatives,),
    "check_row_order": (LovesTheLastRow,),
    "check_contract_names": (NamesBadly, SaysYesterday, Shrinks),
    "check_round_trip": (KeepsAList,),
}


@pytest.mark.parametrize("check", all_checks(), ids=lambda check: check.__name__)
def test_an_honest_strategy_passes(check):
    check(MODEL, Honest(), simulated_periods("ranking"))


@pytest.mark.parametrize(
    ("check", "cheat"),
    [(name, cheat) for name, cheats in CAUGHT.items() for cheat in cheats],
    ids=lambda v: getattr(v, "__name__", v),
)
def test_a_cheat_is_caught(check, cheat):
    with pytest.raises((AssertionError, ValueError, ZeroDivisionError, IndexError)) as caught:
        getattr(contract, check)(MODEL, cheat(), simulated_periods("ranking"))
    assert str(caught.value)


def test_every_check_has_a_cheat():
    assert {check.__name__ for check in all_checks()} == set(CAUGHT)


def test_a_message_names_the_promise():
    with pytest.raises(AssertionError, match="changed the checkpoint"):
        contract.check_inputs_unchanged(MODEL, Mutates(), simulated_periods("ranking"))
    with pytest.raises(AssertionError, match=r"memory name '\.\./evil'"):
        contract.check_contract_names(MODEL, NamesBadly(), simulated_periods("ranking"))


def test_simulated_periods_are_nested():
    periods = simulated_periods("ranking")
    for earlier, later in pairwise(periods):
        again = later.select(later.periods <= earlier.period)
        assert torch.equal(again.rows, earlier.rows) and later.sizes > earlier.sizes
    assert replace(periods[0]).seed == 0
