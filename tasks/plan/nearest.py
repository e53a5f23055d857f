"""Nearest name: the legal name that a wrong one probably means: its present name, or one with a similar spelling."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches

EARLIER = {  # names of releases before 0.1
    "history": ("pretrain_periods", "history_length"), "served": ("logged_probability",), "several": ("multi_value",),
    "rare": ("min_count",), "schedule": ("training",), "rate": ("lr",), "dense_rate": ("dense_lr",), "batch": ("batch_size",),
    "periods": ("evidence_nights", "test_periods"), "worthwhile": ("min_gain",), "slice_loss": ("max_slice_loss",),
    "approval": ("require_approval",), "recent": ("replay_rows",), "until": ("warmup_rows",), "book": ("max_pending_rows",),
    "first": ("learner_training",), "second": ("transfer_training",), "judge": ("train_on",), "restart": ("start_from",),
    "shares": ("weights",), "against": ("baselines",), "tuned_on": ("tune_periods",),
}  # fmt: skip


def nearest(given: str, legal: Iterable[str]) -> str:
    """` (did you mean lr?)`, to be put after a name that is not legal; empty if no legal name is similar.

    Example:
        >>> nearest("witdh", ["width", "scale"])
        ' (did you mean width?)'
    """
    names = list(legal)
    meant = [name for name in EARLIER.get(given, ()) if name in names] or get_close_matches(given, names, 1, 0.75)
    return f" (did you mean {meant[0]}?)" if meant else ""
