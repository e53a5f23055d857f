"""Meta state: the parameters of SML's transfers or ASMG's generator, with their Adam."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod

import torch
from torch import Tensor

from nightloop.tasks.modules.adam import Adam
from nightloop.tasks.modules.checkpoint import Weights, pack, unpack
from nightloop.tasks.plan.errors import DataError
from nightloop.tasks.training.fit import HOPELESS


@dataclass(frozen=True)
class MetaState:
    """The parameters, in order of name, and their Adam, as a checkpoint's memory holds them."""

    parameters: dict[str, Tensor]
    exp_avg: Tensor  # [all parameters]
    exp_avg_sq: Tensor
    steps: int

    def memory(self) -> dict[str, Tensor]:
        """By name: the parameters, and `adam/...`."""
        adam = {"first": self.exp_avg, "second": self.exp_avg_sq, "steps": torch.tensor([self.steps])}
        return {**pack("parameters", self.parameters), **pack("adam", adam)}

    def flat(self) -> Tensor:
        """All parameters as one new vector."""
        return torch.cat([tensor.flatten() for tensor in self.parameters.values()])

    def adam(self, lr: float) -> Adam:
        """An optimiser of the flat vector that continues from this state, on copies."""
        return Adam(lr, self.exp_avg.clone(), self.exp_avg_sq.clone(), self.steps)

    def unflatten(self, flat: Tensor) -> dict[str, Tensor]:
        """A flat vector as views, named and shaped like the parameters."""
        pieces = torch.split(flat, [prod(tensor.shape) for tensor in self.parameters.values()])
        return {
            name: piece.view(tensor.shape)
            for (name, tensor), piece in zip(self.parameters.items(), pieces, strict=True)
        }

    def finish_run(self, flat: Tensor, adam: Adam, loss: Tensor, what: str) -> MetaState:
        """The state after a run. Raises DataError, which names `what` was trained, if the last `loss` diverged."""
        if not float(loss) <= HOPELESS or not bool(torch.isfinite(flat.sum())):
            raise DataError(f"{what} diverged: loss {float(loss):.4g} with lr {adam.lr:g}; lower lr")
        parameters = {name: tensor.clone() for name, tensor in self.unflatten(flat).items()}
        return MetaState(parameters, adam.exp_avg, adam.exp_avg_sq, adam.steps)


def new_meta_state(parameters: Weights) -> MetaState:
    """Untrained parameters with an empty Adam."""
    count = sum(tensor.numel() for tensor in parameters.values())
    return MetaState(_sort_by_name(parameters), torch.zeros(count), torch.zeros(count), 0)


def load_meta_state(memory: Weights) -> MetaState:
    """The state that `MetaState.memory` wrote."""
    adam = unpack("adam", memory)
    return MetaState(_sort_by_name(unpack("parameters", memory)), adam["first"], adam["second"], int(adam["steps"]))


def _sort_by_name(parameters: Weights) -> dict[str, Tensor]:
    """In order of name, as in Adam's moments. A file may return them in another order."""
    return {name: parameters[name] for name in sorted(parameters)}
