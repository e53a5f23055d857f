"""Fisher: the diagonal of the empirical Fisher information, which says how much each weight matters for some rows."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits

from nightloop.tasks.data.logs import Logs
from nightloop.tasks.modules.checkpoint import Weights
from nightloop.tasks.modules.fused_tables import dense_names, fuse, split, table_sizes
from nightloop.tasks.modules.lookup import lookup, own_close
from nightloop.tasks.modules.model import Model
from nightloop.tasks.modules.negative_sampling import draw, index_positives
from nightloop.tasks.modules.segment_sums import group, sum_groups
from nightloop.tasks.modules.table_rows import take_rows
from nightloop.tasks.training.step import StepRows, step_entries

BATCH = 256
SAMPLE = 512  # rows whose gradients by dense weights are taken one by one: their mean square is known to a tenth


def fisher(model: Model, weights: Weights, logs: Logs) -> dict[str, Tensor]:
    """Mean over rows of (d loss / d weight)^2 at `weights`, parallel to them; a ranking gets one negative a row.

    For tables it is exact, because an id occurs once a row; in a model that spreads rows over others, the summed gradient
    of a batch is squared. For dense weights it is the mean of the squared gradients of `SAMPLE` rows, each its own.
    Source: Kirkpatrick et al. 2017, equation 3.
    """
    sizes, dense = table_sizes(model, weights), dense_names(weights)
    table, squares = fuse(weights, model.fields), torch.zeros(sum(sizes), model.width)
    positions, label, ids = _entries(model, logs)
    look = lookup(model, sizes, logs, own_close(logs))
    for part in (slice(first, first + BATCH) for first in range(0, len(ids), BATCH)):
        fused = look.rows(positions[part], ids[part])
        values = take_rows(table, fused).requires_grad_()
        embedded = look.embedded(values, positions[part], ids[part])
        logits = model.logits(embedded, logs.numeric[positions[part]], dense)
        loss = binary_cross_entropy_with_logits(logits, label[part], reduction="sum")
        (gradient,) = torch.autograd.grad(loss, [values])
        groups = group(fused)
        squares.index_add_(0, groups.rows, sum_groups(groups, gradient.square()))
    if not len(ids):
        return {
            **split(squares, model.fields, sizes),
            **{name: torch.zeros_like(t).float() for name, t in dense.items()},
        }
    squares /= len(ids)
    chosen = torch.randperm(len(ids), generator=logs.generator("fisher/sample"))[:SAMPLE].sort().values
    rows = take_rows(table, look.rows(positions[chosen], ids[chosen]))
    embedded = look.embedded(rows, positions[chosen], ids[chosen])
    of_dense = _dense_squares(model, dense, embedded, logs.numeric[positions[chosen]], label[chosen])
    return {**split(squares, model.fields, sizes), **of_dense}


def _dense_squares(model: Model, dense: Weights, embedded: Tensor, numeric: Tensor, label: Tensor) -> dict[str, Tensor]:
    """Mean over rows of the squared gradient of each row by the dense weights."""
    leaves = {name: tensor.detach().float().requires_grad_() for name, tensor in dense.items()}
    total = {name: torch.zeros_like(leaf, requires_grad=False) for name, leaf in leaves.items()}
    for row in (slice(i, i + 1) for i in range(len(label) if leaves else 0)):
        logits = model.logits(embedded[row].detach(), numeric[row], leaves)
        loss = binary_cross_entropy_with_logits(logits, label[row], reduction="sum")
        gradients = torch.autograd.grad(loss, list(leaves.values()), allow_unused=True)
        for name, gradient in zip(leaves, gradients, strict=True):
            if gradient is not None:
                total[name].addcmul_(gradient, gradient, value=1 / len(label))
    return total


def _entries(model: Model, logs: Logs) -> tuple[Tensor, Tensor, Tensor]:
    """Positions [n], labels [n] and vocabulary rows [n, F]; a ranking's negatives after its positives."""
    step = StepRows(torch.arange(len(logs)))
    if model.family == "ranking" and len(logs):
        user, item = (logs.rows[:, logs.fields.index(field)] for field in ("user", "item"))
        positives = index_positives(user, item, logs.sizes[logs.fields.index("item")])
        step = StepRows(step.positions, *draw(positives, user, logs.generator("fisher")))
    return step_entries(model, logs, step)
