"""FM terms: the products of all pairs of embeddings, computed from sums, as in factorisation machines."""

from __future__ import annotations

import torch
from torch import Tensor


def fm_logits(embedded: Tensor) -> Tensor:
    """sum w_i + 1/2 sum_d [(sum e)^2 - sum e^2] of rows [n, m, d + 1], embedding and weight: [n].

    The gradient of this is (sum e) - e_i for an embedding and 1 for a weight, and gradient times rows is the first sum
    plus twice the second. Autograd gets that product, which takes half the memory traffic of the formula itself. It is
    differentiable once. Source: Rendle 2010, lemma 3.1.
    """
    gradient, total = _pair_gradient(embedded)
    product = (embedded * gradient).flatten(1).sum(1)  # no vecdot: autocast would round it to bfloat16
    return product - 0.5 * (product.detach() - total[:, -1])


def pairwise_sum(embedded: Tensor) -> Tensor:
    """The same before it is summed over columns: [n, d + 1], 1/2 [(sum e)^2 - sum e^2] and, last, sum w_i."""
    product = (embedded * _pair_gradient(embedded)[0]).sum(1)
    half = 0.5 * product.detach()
    half[:, -1] = 0
    return product - half


def weight_sum(embedded: Tensor) -> Tensor:
    """sum w_i of rows [n, m, d + 1] whose last column is the weight: [n]."""
    last = torch.zeros(embedded.shape[1:], dtype=embedded.dtype)
    last[:, -1] = 1
    return torch.mv(embedded.flatten(1), last.flatten())


def _pair_gradient(embedded: Tensor) -> tuple[Tensor, Tensor]:
    """Gradient [n, m, d + 1] and sum over columns [n, d + 1], both detached."""
    rows = embedded.detach()
    total = rows.sum(1)
    gradient = total[:, None] - rows
    gradient[:, :, -1] = 1
    return gradient, total
