"""Train state: all tensors that a training run changes, and the optimisers that change them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import prod

import torch
from torch import Tensor

from nightloop.tasks.modules.adam import Adam
from nightloop.tasks.modules.checkpoint import Weights
from nightloop.tasks.modules.fused_tables import dense_names, fuse, split, table_sizes
from nightloop.tasks.modules.model import Model
from nightloop.tasks.modules.rowwise_optimizers import RowAdagrad, RowOptimizer, row_optimizer, state_shapes
from nightloop.tasks.modules.train_config import TrainConfig
from nightloop.tasks.plan.errors import DataError

CLOCK = "steps/dense"


@dataclass(frozen=True)
class TrainState:
    """Copies of weights and optimiser state: one fused table, one flat vector of the rest."""

    fields: tuple[str, ...]
    sizes: list[int]
    table: Tensor  # [sum of sizes, width]
    rows: RowOptimizer
    shapes: dict[str, tuple[int, ...]]  # of the dense weights, by name
    flat: Tensor  # [all dense weights]
    adam: Adam

    def dense(self, flat: Tensor) -> dict[str, Tensor]:
        """The dense weights as views of the flat vector."""
        pieces = torch.split(flat, [prod(shape) for shape in self.shapes.values()])
        return {name: piece.view(shape) for (name, shape), piece in zip(self.shapes.items(), pieces, strict=True)}

    def to(self, device: torch.device) -> TrainState:
        """The same tensors on a device."""
        lr, moved = self.rows.lr, {name: tensor.to(device) for name, tensor in self.rows.state().items()}
        rows = row_optimizer("adagrad" if isinstance(self.rows, RowAdagrad) else "adam", lr, moved)
        adam = replace(self.adam, exp_avg=self.adam.exp_avg.to(device), exp_avg_sq=self.adam.exp_avg_sq.to(device))
        return replace(self, table=self.table.to(device), rows=rows, flat=self.flat.to(device), adam=adam)

    def weights(self) -> dict[str, Tensor]:
        """The weights as they now are, by their own names, on the CPU."""
        weights = {**split(self.table, self.fields, self.sizes), **_copy(self.dense(self.flat))}
        return {name: tensor.cpu() for name, tensor in weights.items()}

    def end_epoch(self, training: TrainConfig) -> None:
        """Lower the learning rates and shrink the rows of tables, as the settings say."""
        self.rows.lr *= training.lr_decay
        self.adam.lr *= training.lr_decay
        if training.weight_decay:
            self.table.mul_(1 - training.weight_decay)

    def state(self) -> dict[str, Tensor]:
        """The optimisers' state: `<part>/table.<field>`, and for dense weights `<moment>/<name>` and the steps."""
        state: dict[str, Tensor] = {}
        for part, tensor in self.rows.state().items():
            state |= split(tensor, self.fields, self.sizes, f"{part}/")
        if self.shapes:
            for part, moment in (("first", self.adam.exp_avg), ("second", self.adam.exp_avg_sq)):
                state |= {f"{part}/{name}": tensor for name, tensor in _copy(self.dense(moment)).items()}
            state[CLOCK] = torch.tensor([self.adam.steps])
        return {name: tensor.cpu() for name, tensor in state.items()}


def init_state(model: Model, weights: Weights, training: TrainConfig, state: Weights | None) -> TrainState:
    """Copies to train on. With `state` None the optimisers start empty. Raises DataError if weights or state do not fit."""
    sizes, dense = table_sizes(model, weights), dense_names(weights)
    shapes = {name: tuple(tensor.shape) for name, tensor in dense.items()}
    pieces = {part: (sum(sizes), *shape) for part, shape in state_shapes(training.optimizer, model.width).items()}
    _check(model, weights, training, state)
    if state:
        row_state = {part: fuse(state, model.fields, f"{part}/").float() for part in pieces}
        exp_avg, exp_avg_sq = (
            _flatten({name: state[f"{part}/{name}"] for name in dense}) for part in ("first", "second")
        )
    else:
        row_state = {part: torch.zeros(shape) for part, shape in pieces.items()}
        exp_avg, exp_avg_sq = (torch.zeros(sum(map(prod, shapes.values()))) for _ in range(2))
    adam = Adam(training.dense_lr, exp_avg, exp_avg_sq, int(state[CLOCK]) if state and dense else 0)
    rows = row_optimizer(training.optimizer, training.lr, row_state)
    return TrainState(tuple(model.fields), sizes, fuse(weights, model.fields), rows, shapes, _flatten(dense), adam)


def _check(model: Model, weights: Weights, training: TrainConfig, state: Weights | None) -> None:
    """Refuse weights with NaN or infinity, and a state of another optimiser or another size."""
    bad = [name for name, tensor in weights.items() if not bool(torch.isfinite(tensor.sum()))]
    if bad:
        raise DataError(f"{', '.join(sorted(bad))}: weights hold NaN or infinity before training begins")
    if not state:
        return
    expected: dict[str, tuple[int, ...]] = {CLOCK: (1,)} if dense_names(weights) else {}
    for name, tensor in weights.items():
        if name.startswith("table."):
            shapes = state_shapes(training.optimizer, model.width)
            expected |= {f"{part}/{name}": (len(tensor), *shape) for part, shape in shapes.items()}
        else:
            expected |= {f"{part}/{name}": tuple(tensor.shape) for part in ("first", "second")}
    given = {name: tuple(tensor.shape) for name, tensor in state.items()}
    wrong = sorted(name for name in expected.keys() | given.keys() if expected.get(name) != given.get(name))
    if wrong:
        first = wrong[0]
        raise DataError(
            f"the optimiser's state does not fit {training.optimizer} on these weights: {first} should be "
            f"{expected.get(first, 'absent')}, given {given.get(first, 'nothing')} ({len(wrong)} differ); "
            "train without a state"
        )


def _flatten(dense: Weights) -> Tensor:
    return torch.cat([torch.zeros(0), *(tensor.detach().float().flatten() for tensor in dense.values())])


def _copy(dense: Weights) -> dict[str, Tensor]:
    return {name: tensor.detach().clone() for name, tensor in dense.items()}
