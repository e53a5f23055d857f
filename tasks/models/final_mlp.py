"""FinalMLP: two perceptrons over embeddings that each weights in its own way, joined by a bilinear product."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar, Literal

import torch
from torch import Generator, Tensor, nn
from torch.nn.functional import linear

from nightloop.tasks.layers.ctr_inputs import check_options, first_rows, numeric_rows, with_numeric
from nightloop.tasks.layers.mlp import first_layers, keep_hidden, mlp_forward, xavier
from nightloop.tasks.plan.errors import PlanError
from nightloop.tasks.plan.search_space import SearchSpace

NAMES = ("left", "right")  # of the perceptrons' weights


class FinalMLP(nn.Module):
    """Two perceptrons over embeddings that each weights in its own way, joined by a bilinear product.

        logit = b + w_1 . o_1 + w_2 . o_2 + sum_k o_1k' W_k o_2k
        o_t = relu(MLP_t(g_t * [e_1 .. e_m]))    g_t = 2 sigmoid(c_t + C_t [e_i of contexts[t]])

    o_1 and o_2 are cut into `heads` parts o_1k and o_2k. A gate g_t has a number for each number of the embeddings.
    Without a context it is the same for all rows and costs them nothing. The published gate has a hidden layer and
    embeddings of its own; this one is linear in the shared ones. The perceptrons have ReLU between their layers,
    without normalisation. Each field's row is its embedding e_i, drawn from N(0, `scale`^2). A numeric column x has one
    such row of its own, multiplied by sign(x) log(1 + |x|), so that counts and amounts of any size stay in a small
    range.

    Parameters
    ----------
    fields : sequence of str
        Names of the categorical fields, user and item first. The plan's columns give them.
    numeric : int, default 0
        Number of numeric columns. The plan's columns give it.
    width : int, default 10
        Numbers in an embedding. 10 is the value of the BARS benchmark. A larger width can describe an id in more detail
        and needs more rows for each id.
    towers : two sequences of int, default ((400, 400, 400), (400, 400, 400))
        Units of each layer of the two perceptrons, first to last.
    contexts : two sequences of str, default ((), ())
        Fields that the gate of each perceptron reads, such as `[[user], [item]]`. Empty: a gate that is the same for
        all rows.
    heads : int, default 1
        Parts of the bilinear product. With more heads each matrix W_k is smaller. The last number of both towers must
        be a multiple of it.
    scale : float, default 0.01
        Standard deviation of new embeddings. If it is large, ids without data get large random scores.

    Raises
    ------
    PlanError
        An option is out of range, the last layers are no multiples of `heads`, or a context names an unknown field.

    References
    ----------
    Mao et al. 2023, FinalMLP: an enhanced two-stream MLP model for CTR prediction.

    Examples
    --------
    With gates of 1 and every other weight at 1, o_1 = o_2 = relu(1 + 1 + 1) = 3: the logit is 1 + 3 + 3 + 3 * 3.

    >>> import torch
    >>> from nightloop.tasks.models.final_mlp import FinalMLP
    >>> model = FinalMLP(fields=("user", "item"), width=1, towers=((1,), (1,)))
    >>> dense = {name: torch.ones_like(value) for name, value in model.dense(torch.Generator()).items()}
    >>> dense["left.gate.bias"] = dense["right.gate.bias"] = torch.zeros(2)
    >>> print(model.logits(torch.ones(1, 2, model.width), torch.zeros(1, 0), dense).item())
    16.0
    """

    family: Literal["ranking", "ctr"] = "ctr"
    search_space: ClassVar[SearchSpace] = {"width": (4, 8, 16, 32)}

    def __init__(
        self,
        fields: Sequence[str],
        numeric: int = 0,
        width: int = 10,
        towers: Sequence[Sequence[int]] = ((400, 400, 400), (400, 400, 400)),
        contexts: Sequence[Sequence[str]] = ((), ()),
        heads: int = 1,
        scale: float = 0.01,
    ) -> None:
        layers = [size for tower in towers for size in tower]
        check_options("FinalMLP", numeric, scale, {"width": (width,), "towers": layers, "heads": (heads,)})
        if len(towers) != 2 or any(not tower or tower[-1] % heads for tower in towers):
            raise PlanError(
                f"FinalMLP: towers: given {towers!r}; two lists, the last of each a multiple of heads {heads}"
            )
        unknown = [field for context in contexts for field in context if field not in fields]
        if len(contexts) != 2 or unknown:
            raise PlanError(f"FinalMLP: contexts: given {contexts!r}; two lists of fields from {', '.join(fields)}")
        super().__init__()
        self.fields, self.numeric, self.scale = tuple(fields), numeric, float(scale)
        self.width, self.towers, self.heads = width, tuple(map(tuple, towers)), heads
        self.places = [[self.fields.index(field) for field in context] for context in contexts]

    def new_rows(self, field: str, count: int, generator: Generator) -> Tensor:
        """First values of new rows: [count, width]."""
        return first_rows(count, self.width, self.width, self.scale, generator)

    def dense(self, generator: Generator) -> dict[str, Tensor]:
        """First values of the rows of numeric columns, of gates and layers by perceptron, and of the join."""
        size = (len(self.fields) + self.numeric) * self.width
        found = {"bias": torch.zeros(1), **numeric_rows(self, self.numeric, generator)}
        for name, layers, places in zip(NAMES, self.towers, self.places, strict=True):
            found |= first_layers((size, *layers), generator, name)
            found[f"{name}.gate.bias"] = torch.zeros(size)
            if places:
                found[f"{name}.gate.weight"] = xavier(size, len(places) * self.width, generator)
            found[f"{name}.output"] = xavier(1, layers[-1], generator)[0]
        left, right = (layers[-1] // self.heads for layers in self.towers)
        found["products"] = torch.stack([xavier(left, right, generator) for _ in range(self.heads)])
        return found

    def logits(self, embedded: Tensor, numeric: Tensor, dense: Mapping[str, Tensor]) -> Tensor:
        """Logits [n] from rows [n, F, width] and numeric values [n, N]."""
        rows = with_numeric(embedded, numeric, dense)
        (left, one), (right, two) = (
            self._tower(rows, places, name, dense) for name, places in zip(NAMES, self.places, strict=True)
        )
        products = torch.bmm(self._by_head(left), dense["products"])
        joined = (products * self._by_head(right)).to(rows.dtype).sum((0, 2))
        return dense["bias"] + one + two + joined

    def _tower(
        self, rows: Tensor, places: Sequence[int], name: str, dense: Mapping[str, Tensor]
    ) -> tuple[Tensor, Tensor]:
        """o_t [n, h] and w_t . o_t [n]. A gate that is the same for all rows is put on the first layer's weight."""
        weight, bias, flat = dense[f"{name}.0.weight"], dense[f"{name}.gate.bias"], rows.flatten(1)
        if places:
            gate = linear(rows[:, places].flatten(1), dense[f"{name}.gate.weight"], bias).to(flat.dtype)
            flat = flat * gate.sigmoid() * 2
        else:
            weight = weight * bias.sigmoid() * 2
        found = mlp_forward(flat, dense, name, weight).relu_()
        keep_hidden(found)
        return found, linear(found, dense[f"{name}.output"][None])[:, 0]

    def _by_head(self, values: Tensor) -> Tensor:
        """[n, heads k] as [heads, n, k]."""
        return values.view(len(values), self.heads, -1).transpose(0, 1)
