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


def fisher(model: Model, weights: Weights, logs: Logs) -> dict[str, Tensor]:
    """Sum over rows of (d loss / d weight)^2 at `weights`, parallel to them; a ranking gets one negative a row.

    For tables it is exact, because an id occurs once a row. For dense weights, and for tables of a model that spreads
    rows over others, the summed gradient of a batch is squared. This is equal in expectation if labels are independent.
    Source: Kirkpatrick et al. 2017, equation 3.
    """
    sizes, dense = table_sizes(model, weights), dense_names(weights)
    table, squares = fuse(weights, model.fields), torch.zeros(sum(sizes), model.width)
    of_dense = {name: torch.zeros_like(tensor, dtype=torch.float32) for name, tensor in dense.items()}
    positions, label, ids = _entries(model, logs)
    look = lookup(model, sizes, logs, own_close(logs))
    for part in (slice(first, first + BATCH) for first in range(0, len(ids), BATCH)):
        fused = look.rows(positions[part], ids[part])
        values = take_rows(table, fused).requires_grad_()
        embedded = look.embedded(values, positions[part], ids[part])
        leaves = {name: tensor.detach().float().requires_grad_() for name, tensor in dense.items()}
        logits = model.logits(embedded, logs.numeric[positions[part]], leaves)
        loss = binary_cross_entropy_with_logits(logits, label[part], reduction="sum")
        gradients = torch.autograd.grad(loss, [values, *leaves.values()], allow_unused=True)
        groups = group(fused)
        squares.index_add_(0, groups.rows, sum_groups(groups, gradients[0].square()))
        for name, gradient in zip(leaves, gradients[1:], strict=True):
            of_dense[name] += gradient.square() if gradient is not None else 0
    return {**split(squares, model.fields, sizes), **of_dense}


def _entries(model: Model, logs: Logs) -> tuple[Tensor, Tensor, Tensor]:
    """Positions [n], labels [n] and vocabulary rows [n, F]; a ranking's negatives after its positives."""
    step = StepRows(torch.arange(len(logs)))
    if model.family == "ranking" and len(logs):
        user, item = (logs.rows[:, logs.fields.index(field)] for field in ("user", "item"))
        positives = index_positives(user, item, logs.sizes[logs.fields.index("item")])
        step = StepRows(step.positions, *draw(positives, user, logs.generator("fisher")))
    return step_entries(model, logs, step)
