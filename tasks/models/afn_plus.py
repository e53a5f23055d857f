"""AFNPlus: products of learned order, through logarithms, and a perceptron with embeddings of its own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import log
from typing import ClassVar, Literal

from torch import Generator, Tensor, nn

from nightloop.tasks.layers.ctr_inputs import check_options, first_rows, numeric_rows, with_numeric
from nightloop.tasks.layers.mlp import first_layers, mlp_forward
from nightloop.tasks.plan.search_space import SearchSpace

# Of a first value's spread: the logarithm is that of sqrt(e^2 + floor^2). Zero has no logarithm, and the slope of log |e| is
# 1 / e: with a lower floor (1e-5 of N(0, 0.01), say) a row's smallest number alone says where the whole row goes. A hard
# floor would leave the numbers below it without a gradient.
LEAST = 0.5
MEAN = -0.111791  # of log sqrt(x^2 + LEAST^2), x from N(0, 1), by numerical integration
# The logarithms of first values then have a standard deviation of 0.28. With 1 (0.453 here) the exponentials of their sums
# grow too fast: AUC 0.7616 instead of 0.7759 on the click world, seeds 0 to 2. Chosen on its seeds 100 and 101.
SPREAD = 1.6


class AFNPlus(nn.Module):
    """Products of embeddings to learned powers, through logarithms, and a perceptron with embeddings of its own.

        logit = MLP([exp(z_1) - 1 .. exp(z_k) - 1]) + MLP([e'_1 .. e'_m])
        z = W s(log sqrt(e^2 + (scale / 2)^2)) + c

    There are `neurons` vectors z, of `width` numbers each. The published model normalises log and exp over the batch. A
    logit would then depend on the rows beside it, and on moments of an older period. Here s is the fixed shift and
    scale that give the logarithm of a first value mean 0 and a small variance, and c and the layers learn the rest. The
    last layer of the published model, which adds both perceptrons, is part of theirs. Each field's row holds e_i and,
    after it, e'_i, both drawn from N(0, `scale`^2). A numeric column x has one such row of its own, multiplied by
    sign(x) log(1 + |x|), so that counts and amounts of any size stay in a small range. The perceptrons have ReLU
    between their layers, without normalisation.

    Parameters
    ----------
    fields : sequence of str
        Names of the categorical fields, user and item first. The plan's columns give them.
    numeric : int, default 0
        Number of numeric columns. The plan's columns give it.
    width : int, default 10
        Numbers in each of a row's two embeddings. 10 is the value of the BARS benchmark. A larger width can describe an
        id in more detail and needs more rows for each id.
    neurons : int, default 200
        Number of logarithmic neurons: learned products. The published settings use 200 to 1500.
    cross : sequence of int, default (400, 400, 400)
        Units of each hidden layer of the perceptron over the learned products, first to last.
    hidden : sequence of int, default (400, 400, 400)
        Units of each hidden layer of the perceptron over the embeddings e', first to last.
    scale : float, default 0.1
        Standard deviation of new embeddings, and twice the floor in the logarithm.

    Raises
    ------
    PlanError
        An option is out of range.

    References
    ----------
    Cheng et al. 2020, Adaptive factorization network: learning adaptive-order feature interactions.

    Examples
    --------
    With powers W of 0 and every other weight at 1, z = 1: the first perceptron gives relu(exp(1) - 1 + 1) + 1 = 3.718,
    the second relu(1 + 1 + 1) + 1 = 4.

    >>> import torch
    >>> from nightloop.tasks.models.afn_plus import AFNPlus
    >>> model = AFNPlus(fields=("user", "item"), width=1, neurons=1, cross=(1,), hidden=(1,))
    >>> dense = {name: torch.ones_like(value) for name, value in model.dense(torch.Generator()).items()}
    >>> dense["powers.0.weight"] = torch.zeros(1, 2)
    >>> print(round(model.logits(torch.ones(1, 2, model.width), torch.zeros(1, 0), dense).item(), 3))
    7.718
    """

    family: Literal["ranking", "ctr"] = "ctr"
    search_space: ClassVar[SearchSpace] = {"width": (4, 8, 16, 32)}

    def __init__(
        self,
        fields: Sequence[str],
        numeric: int = 0,
        width: int = 10,
        neurons: int = 200,
        cross: Sequence[int] = (400, 400, 400),
        hidden: Sequence[int] = (400, 400, 400),
        scale: float = 0.1,
    ) -> None:
        check_options(
            "AFNPlus", numeric, scale, {"width": (width,), "neurons": (neurons,), "cross": cross, "hidden": hidden}
        )
        super().__init__()
        self.fields, self.numeric, self.scale = tuple(fields), numeric, float(scale)
        self.factor_columns, self.width, self.neurons = width, 2 * width, neurons
        self.cross, self.hidden = tuple(cross), tuple(hidden)

    def new_rows(self, field: str, count: int, generator: Generator) -> Tensor:
        """First values of new rows: [count, 2 width]."""
        return first_rows(count, self.width, self.width, self.scale, generator)

    def dense(self, generator: Generator) -> dict[str, Tensor]:
        """First values of the rows of numeric columns, of the logarithmic neurons and of both perceptrons."""
        columns, width = len(self.fields) + self.numeric, self.factor_columns
        return {
            **numeric_rows(self, self.numeric, generator),
            **first_layers((columns, self.neurons), generator, "powers"),
            **first_layers((width * self.neurons, *self.cross, 1), generator, "cross"),
            **first_layers((columns * width, *self.hidden, 1), generator),
        }

    def logits(self, embedded: Tensor, numeric: Tensor, dense: Mapping[str, Tensor]) -> Tensor:
        """Logits [n] from rows [n, F, 2 width] and numeric values [n, N]."""
        rows, width = with_numeric(embedded, numeric, dense), self.factor_columns
        deep = mlp_forward(rows[:, :, width:].flatten(1), dense)[:, 0]
        powers = mlp_forward(self._logarithms(rows[:, :, :width]), dense, "powers").to(rows.dtype)
        bias = dense["cross.0.bias"] - dense["cross.0.weight"].sum(1)  # the one is taken off every power here
        crosses = mlp_forward(powers.exp().view(len(rows), -1), {**dense, "cross.0.bias": bias}, "cross")
        return crosses[:, 0] + deep

    def _logarithms(self, embeddings: Tensor) -> Tensor:
        """Standard logarithms [n d, m] of embeddings [n, m, d]."""
        squares = embeddings.transpose(1, 2).flatten(0, 1).square()
        logs = (squares + (LEAST * self.scale) ** 2).log() / 2
        return (logs - (log(self.scale) + MEAN)) / SPREAD
