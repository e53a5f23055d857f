"""Processor: what the processor of this machine has, on which speed depends."""

from __future__ import annotations

import torch


def fast_bfloat16() -> bool:
    """Whether this processor multiplies bfloat16 matrices in hardware.

    Returns
    -------
    bool
        If it is False, the precision "bfloat16" is slower than "float32".
    """
    return bool(torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported())
