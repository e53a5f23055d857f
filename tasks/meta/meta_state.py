"""Meta: what learns how to learn, SML's transfers or ASMG's generator, as parameters with an Adam of their own."""

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
    first: Tensor  # [all parameters]
    second: Tensor
    steps: int

    def memory(self) -> dict[str, Tensor]:
        """By name: the parameters, and `adam/...`."""
        adam = {"first": self.first, "second": self.second, "steps": torch.tensor([self.steps])}
        return {**pack("parameters", self.parameters), **pack("adam", adam)}

    def flat(self) -> Tensor:
        """All parameters as one new vector."""
        return torch.cat([tensor.flatten() for tensor in self.parameters.values()])

    def adam(self, rate: float) -> Adam:
        """An optimiser of the flat vector that goes on from here, on copies."""
        return Adam(rate, self.first.clone(), self.second.clone(), self.steps)

    def shaped(self, flat: Tensor) -> dict[str, Tensor]:
        """A flat vector as views, named and shaped like the parameters."""
        pieces = torch.split(flat, [prod(tensor.shape) for tensor in self.parameters.values()])
        return {
            name: piece.view(tensor.shape)
            for (name, tensor), piece in zip(self.parameters.items(), pieces, strict=True)
        }

    def finish_run(self, flat: Tensor, adam: Adam, value: Tensor, what: str) -> MetaState:
        """What a run made, `value` its last loss. Raises DataError, naming `what` learned, where it diverged."""
        if not float(value) <= HOPELESS or not bool(torch.isfinite(flat.sum())):
            raise DataError(f"{what} diverged: loss {float(value):.4g} with lr {adam.rate:g}; lower it")
        parameters = {name: tensor.clone() for name, tensor in self.shaped(flat).items()}
        return MetaState(parameters, adam.first, adam.second, adam.steps)


def new_meta_state(parameters: Weights) -> MetaState:
    """Parameters that have learnt nothing yet."""
    count = sum(tensor.numel() for tensor in parameters.values())
    return MetaState(_ordered(parameters), torch.zeros(count), torch.zeros(count), 0)


def load_meta_state(memory: Weights) -> MetaState:
    """What `Meta.memory` wrote."""
    adam = unpack("adam", memory)
    return MetaState(_ordered(unpack("parameters", memory)), adam["first"], adam["second"], int(adam["steps"]))


def _ordered(parameters: Weights) -> dict[str, Tensor]:
    """By name: the order in which they lie in Adam's moments, whatever order a file gives them back in."""
    return {name: parameters[name] for name in sorted(parameters)}
