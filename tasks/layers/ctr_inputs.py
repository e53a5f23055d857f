"""CTR inputs: the parts that all click models share: checks of options, first values of rows, numeric columns."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import inf

import torch
from torch import Generator, Tensor

from nightloop.tasks.modules.model import Model
from nightloop.tasks.plan.bounds import WIDEST, bounds_in_words, is_whole
from nightloop.tasks.plan.errors import PlanError


def check_options(
    model: str,
    numeric: object,
    scale: object,
    sizes: Mapping[str, Sequence[object]],
    factors: Mapping[str, object] | None = None,
) -> None:
    """Refuse options that cannot be: all of `sizes` are whole numbers from 1 to 10,000, `scale` and all `factors` numbers above 0.

    Raises PlanError that names them all.
    """
    given = [(name, value) for name, values in sizes.items() for value in values if not is_whole(value, WIDEST)]
    wrong = [f"{name}: given {value!r:.80}; {bounds_in_words(WIDEST)}" for name, value in given]
    wrong += [
        f"{name}: given {value!r}; numbers above 0"
        for name, value in {"scale": scale, **(factors or {})}.items()
        if not (isinstance(value, int | float) and 0 < value < inf)
    ]
    if not is_whole(numeric, WIDEST, 0):
        wrong.append(f"numeric: given {numeric!r}; how many numeric columns there are")
    if wrong:
        raise PlanError(f"{model}: " + "; ".join(wrong))


def first_rows(count: int, factors: int, width: int, scale: float, generator: Generator) -> Tensor:
    """New rows [count, width]: `factors` columns from N(0, scale^2), the others, which hold weights, zero."""
    rows = torch.randn(count, width, generator=generator).mul_(scale)
    rows[:, factors:] = 0
    return rows


def numeric_rows(model: Model, count: int, generator: Generator) -> dict[str, Tensor]:
    """First values of the rows of numeric columns, `numeric` [N, width]; nothing if there are none."""
    return {"numeric": model.new_rows("", count, generator)} if count else {}


def with_numeric(embedded: Tensor, numeric: Tensor, dense: Mapping[str, Tensor]) -> Tensor:
    """Rows [n, m, w] of all columns: the fields' [n, F, w], then `dense["numeric"]` [N, w] times the values [n, N].

    A value counts as sign(x) log(1 + |x|), so that counts and amounts of any size stay in a small range.
    """
    if "numeric" not in dense:
        return embedded
    scaled = numeric.sign() * numeric.abs().log1p()
    return torch.cat([embedded, scaled[:, :, None] * dense["numeric"]], 1)
