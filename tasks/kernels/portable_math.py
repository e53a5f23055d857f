"""Portable arithmetic: float32 functions that give the same bytes in torch and in compiled code, on every processor.

A library's `exp` and a sum in the order that is quickest on a processor differ in the last digit. Here every number comes
from single additions, multiplications, divisions and roots, which are the same everywhere, in a fixed order.
"""

from __future__ import annotations

from typing import Final

import numpy as np
import torch
from torch import Tensor

LOG2_E: Final = 1.44269504
LN2_HIGH: Final = 0.693359375  # LN2_HIGH + LN2_LOW = log 2; n * LN2_HIGH is exact
LN2_LOW: Final = -2.12194440e-4
LIMIT: Final = 87.0  # exp(87) is below the largest float32, exp(-87) above the smallest normal one
# Minimax polynomial of (exp(r) - 1 - r) / r^2 for |r| <= log(2) / 2, highest power first (Moshier 1989, Cephes: expf).
COEFFICIENTS: Final = (1.9875691500e-4, 1.3981999507e-3, 8.3334519073e-3, 4.1665795894e-2, 1.6666665459e-1, 0.5)
EPS: Final = 1e-8  # keeps a row that never had a gradient from dividing by zero in Adagrad and Adam
POWER_ZERO: Final = 127  # position of 2^0 in `powers_of_two`


def powers_of_two() -> Tensor:
    """2^n for n = -127, ..., 127: [255] float32."""
    return torch.ldexp(torch.ones(255, dtype=torch.float64), torch.arange(-POWER_ZERO, POWER_ZERO + 1)).float()


def exp(x: Tensor) -> Tensor:
    """exp(x) of float32 numbers, within 2 units in the last place; x is first clamped to [-87, 87]. NaN stays NaN.

    Examples
    --------
    >>> import torch
    >>> from nightloop.tasks.kernels.portable_math import exp
    >>> print([round(number, 4) for number in exp(torch.tensor([-1.0, 0.0, 2.0])).tolist()])
    [0.3679, 1.0, 7.3891]
    """
    x = x.clamp(-LIMIT, LIMIT)
    power = (x * LOG2_E + 0.5).floor_()
    rest = x - power * LN2_HIGH
    rest = rest - power * LN2_LOW
    value = torch.full_like(rest, COEFFICIENTS[0])
    for coefficient in COEFFICIENTS[1:]:
        value = value * rest + coefficient
    value = value * rest * rest + rest + 1.0
    return value * powers_of_two()[power.nan_to_num_().long() + POWER_ZERO]  # of NaN: NaN


def sigmoid(x: Tensor) -> Tensor:
    """1 / (1 + exp(-x)) of float32 numbers.

    Examples
    --------
    >>> import torch
    >>> from nightloop.tasks.kernels.portable_math import sigmoid
    >>> print(sigmoid(torch.zeros(1)).item())
    0.5
    """
    return (exp(-x) + 1.0).reciprocal_()


def sqrt(x: Tensor) -> Tensor:
    """The square root of float32 numbers, rounded correctly. torch's own may differ in the last digit.

    Examples
    --------
    >>> import torch
    >>> from nightloop.tasks.kernels.portable_math import sqrt
    >>> print(sqrt(torch.tensor([4.0])).item())
    2.0
    """
    return torch.from_numpy(np.sqrt(x.numpy())) if x.device.type == "cpu" else x.sqrt()


def sum_columns(values: Tensor) -> Tensor:
    """The sum [n] of each row of `values` [n, w]: the second half is added to the first until four columns are left.

    Examples
    --------
    >>> import torch
    >>> from nightloop.tasks.kernels.portable_math import sum_columns
    >>> sum_columns(torch.tensor([[1.0, 2.0, 3.0, 4.0, 5.0]])).tolist()
    [15.0]
    """
    width = values.shape[1]
    while width > 4:
        half = (width + 1) // 2
        added = values[:, : width - half] + values[:, half:width]
        values = added if 2 * half == width else torch.cat([added, values[:, width - half : half]], 1)
        width = half
    total = values[:, 0]
    for column in range(1, width):
        total = total + values[:, column]
    return total
