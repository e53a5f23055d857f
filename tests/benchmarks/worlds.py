"""Worlds: what the benchmarks of the simulated worlds share: seeds in processes, findings with intervals, pictures."""

from __future__ import annotations

import math
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from scipy.stats import t as student

from nightloop.tasks.reports import plot_style as d
from nightloop.tasks.reports.plots import line_styles

SEEDS = tuple(range(int(os.environ.get("NIGHTLOOP_BENCH_SEEDS", "5"))))  # fewer for a first look
PICTURES = Path("bench")  # beside bench.json


def over_seeds(replay: Callable[..., dict[str, Any]], *given: object) -> list[dict[str, Any]]:
    """`replay(*given, seed)` for every seed, each in a process of its own with one thread, as many at once as cores."""
    with ProcessPoolExecutor(os.cpu_count(), get_context("spawn"), _one_thread) as pool:
        return list(pool.map(replay, *([one] * len(SEEDS) for one in given), SEEDS))


def _one_thread() -> None:
    torch.set_num_threads(1)


def finding(
    claim: str, differences: Sequence[float], wanted: Literal["above", "equal"] = "above", near: float = 0.0
) -> dict[str, Any]:
    """Whether a claim came out, of one paired difference a seed: mean and 95 % interval (Student's t).

    `above`: the interval lies above `near`. `equal`: it lies within plus and minus `near`.
    """
    found = np.asarray(differences, dtype=float)
    mean, many = float(found.mean()), len(found)
    half = float(student.ppf(0.975, many - 1) * found.std(ddof=1) / math.sqrt(many)) if many > 1 else math.inf
    low, high = mean - half, mean + half
    out = low > near if wanted == "above" else -near < low and high < near
    print(f"  {'yes' if out else 'NO '}  {claim}: {mean:+.4f} [{low:+.4f}, {high:+.4f}]", file=sys.stderr, flush=True)
    return {"claim": claim, "difference": mean, "low": low, "high": high, "seeds": many, "came out": out}


def table(findings: Sequence[Mapping[str, Any]]) -> str:
    """The findings in markdown."""
    lines = ["| claim | difference | 95 % interval | came out |", "|---|--:|:-:|:-:|"]
    for f in findings:
        between = f"{f['low']:+.4f} to {f['high']:+.4f}"
        lines.append(f"| {f['claim']} | {f['difference']:+.4f} | {between} | {'yes' if f['came out'] else '**no**'} |")
    return "\n".join(lines)


def picture(
    name: str,
    title: str,
    subtitle: str,
    lines: Mapping[str, Sequence[float]],
    xs: Sequence[str],
    labels: tuple[str, str],
    log: bool = False,
) -> str:
    """Draw a line for each name over `xs` into `bench/<name>.png`, with labels of both axes. Returns the path."""
    figure, axes = d.canvas(title, subtitle, 0.16)
    axes.set_yscale("log" if log else "linear")
    ends = []
    for label, (colour, dashes) in line_styles(list(lines), None).items():
        axes.plot(range(len(xs)), lines[label], color=colour, linestyle=dashes, linewidth=1.8, marker="o", markersize=3)
        ends.append(d.End(lines[label][-1], label, colour, dashes))
    d.style_axes(axes, xs, labels[1])
    axes.set_xlabel(labels[0], color=d.INK, size=9.5)
    d.label_ends(axes, ends)
    PICTURES.mkdir(exist_ok=True)
    path = PICTURES / f"{name}.png"
    path.write_bytes(d.as_png(d.Plot(name, figure, title), dots=110))
    return str(path)


def result(value: str, findings: Sequence[Mapping[str, Any]], detail: Mapping[str, Any]) -> dict[str, object]:
    """What a benchmark returns: how many findings came out, each of them, and the detail."""
    out = sum(bool(f["came out"]) for f in findings)
    return {
        "value": out, "unit": f"of {len(findings)} findings {value}", "target": "all", "met": out == len(findings),
        "findings": list(findings), "detail": dict(detail), "markdown": table(findings),
    }  # fmt: skip
