"""Drawing: the look of every plot, and a figure as SVG for a page, as PNG for an artifact; pyplot is left alone."""

from __future__ import annotations

import base64
import io
import re
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from nightloop.tasks.reports.format import escape_html, plain

if TYPE_CHECKING:  # matplotlib is imported only to draw: the import takes a second, and many commands draw nothing
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Okabe and Ito's palette, which colour-blind people can tell apart, without yellow (pale) and black (the ink).
PALETTE = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9")
GREY, INK, FAINT, PAPER = "#7f7f7f", "#1f2328", "#d0d4d9", "#ffffff"
Dash = str | tuple[int, tuple[float, ...]]
DASHES: tuple[Dash, ...] = ("-", (0, (5, 2)), (0, (1, 1.2)), (0, (6, 2, 1, 2)))
HEIGHT = 4.0  # inches
LEFT, WIDTH = 0.085, 0.70  # of the figure: room for numbers on the left, for names on the right
ROOM = 92  # letters of the names of nights below a plot
_saving = threading.Lock()  # matplotlib's settings are global while a figure is being saved


@dataclass(frozen=True)
class Plot:
    """A figure, and a text that describes it for readers who cannot see it."""

    name: str
    figure: Figure
    words: str


class End(NamedTuple):
    """The end of a line: its height in data, and its name and look."""

    y: float
    name: str
    colour: str
    dashes: Dash


def canvas(title: str, subtitle: str, bottom: float = 0.13) -> tuple[Figure, Axes]:
    """A figure whose title says the finding and whose subtitle says what is drawn; and its axes, from this height up."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9.0, HEIGHT), facecolor=PAPER)
    figure.text(0.02, 0.945, plain(title, 110), size=12.5, weight="bold", color=INK, parse_math=False)
    figure.text(0.02, 0.885, plain(subtitle, 130), size=9.5, color=GREY, parse_math=False)
    return figure, figure.add_axes((LEFT, bottom, WIDTH, 0.82 - bottom))


def style_axes(axes: Axes, names: Sequence[str], ylabel: str) -> None:
    """Plain axes: a light grid, at most seven named nights with room between their names, no box."""
    shown = [plain(name, 20) for name in names]
    fit = min(7, ROOM // (max(map(len, shown), default=0) + 2))
    step = max(1, -(-len(names) // fit))
    places = list(range(len(names) - 1, -1, -step))[::-1]
    axes.set_xticks(places, [shown[p] for p in places], parse_math=False)
    axes.set_xlim(-0.6, max(len(names) - 0.4, 0.6))
    axes.set_ylabel(ylabel, color=INK, size=9.5, parse_math=False)
    axes.grid(axis="y", color=FAINT, linewidth=0.6)
    axes.set_axisbelow(True)
    axes.tick_params(which="both", colors=INK, labelsize=8.5, length=0)
    for side, spine in axes.spines.items():
        spine.set_visible(side == "bottom")
        spine.set_color(FAINT)
    axes.set_facecolor("none")


def label_ends(axes: Axes, ends: Sequence[End]) -> None:
    """Names to the right of the lines' ends, each behind a piece of its line, moved apart if they would overlap."""
    if not ends:
        axes.set_yticks([])
        return
    size = 9.0 if len(ends) <= 10 else 7.0
    gap = size / 72 / (axes.get_position().height * HEIGHT) * 1.25
    to_axes = axes.transData + axes.transAxes.inverted()
    placed = sorted(((float(to_axes.transform((0, end.y))[1]), end) for end in ends), key=lambda pair: pair[0])
    for y, end in zip(_apart([y for y, _ in placed], gap), (end for _, end in placed), strict=True):
        legend_entry(axes, y, end.name, size)
        axes.plot(
            (1.008, 1.034), (y, y), color=end.colour, linestyle=end.dashes, linewidth=2.2, transform=axes.transAxes,
            clip_on=False, scalex=False, scaley=False,
        )  # fmt: skip


def legend_entry(axes: Axes, y: float, words: str, size: float) -> None:
    """Words in ink to the right of the axes; the text itself is never coloured."""
    axes.text(
        1.042, y, plain(words, 26), color=INK, size=size, va="center", transform=axes.transAxes,
        parse_math=False, clip_on=False,
    )  # fmt: skip


def grey_note(axes: Axes, x: float, y: float, words: str, rotation: int = 0) -> None:
    """Small grey words at x in data and y of the axes: to the right of x; upright, above it."""
    axes.text(
        x, y, words, size=7.5, color=GREY, rotation=rotation, ha="center" if rotation else "left", va="bottom",
        transform=axes.get_xaxis_transform(), parse_math=False,
    )  # fmt: skip


def _apart(heights: list[float], gap: float) -> list[float]:
    """Rising heights, neighbours pushed apart by halves until they are `gap` apart, inside the axes if they fit."""
    for _ in range(200):
        for j in range(len(heights) - 1):
            short = gap - (heights[j + 1] - heights[j])
            if short > 1e-6:
                heights[j] -= short / 2
                heights[j + 1] += short / 2
    shift = max(0.0, -heights[0]) - max(0.0, heights[-1] - 1.02)
    return [y + shift for y in heights]


def as_svg(plot: Plot) -> str:
    """Inline SVG that follows the page: it scales, takes the page's fonts and, in the dark, the page's colours."""
    import matplotlib

    with _saving, matplotlib.rc_context({"svg.fonttype": "none", "svg.hashsalt": plot.name}):
        file = io.StringIO()
        plot.figure.savefig(file, format="svg", metadata={"Date": None, "Creator": None, "Format": None, "Type": None})
    svg = file.getvalue()
    svg = re.sub(r"<!--.*?-->|<metadata>.*?</metadata>", "", svg[svg.index("<svg") :], flags=re.S)
    svg = re.sub(r'(\sid="|url\(#|href="#)', rf"\g<1>{plot.name}-", svg)
    for colour, variable in _variables().items():
        svg = svg.replace(colour, f"var({variable})")
    head = f'<svg role="img" aria-label="{escape_html(plot.words, 600)}" viewBox="0 0 648 288">'
    return head + svg[svg.index(">") + 1 :].strip()


def as_png(plot: Plot, dots: int = 96) -> bytes:
    """PNG bytes on white, `dots` to the inch; well below 100 kB at 96."""
    with _saving:
        file = io.BytesIO()
        plot.figure.savefig(file, format="png", dpi=dots, metadata={"Software": None})
    return file.getvalue()


def png_markdown(plot: Plot) -> str:
    """The figure as a picture inside a markdown artifact."""
    words = plain(plot.words, 300).translate(str.maketrans("[]()\\`", "      "))
    return f"![{words}](data:image/png;base64,{base64.b64encode(as_png(plot)).decode()})\n"


def _variables() -> dict[str, str]:
    named = {colour: f"--s{j}" for j, colour in enumerate(PALETTE)}
    return {**named, GREY: "--quiet", INK: "--ink", FAINT: "--faint", PAPER: "--paper"}
