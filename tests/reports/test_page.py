"""The page and its pictures: self-contained, the same bytes again, harmless, and readable without colour."""

from __future__ import annotations

import dataclasses
import re
import sys
from itertools import pairwise
from xml.etree import ElementTree

import matplotlib
import pytest

from nightloop.tasks.reports.history import History
from nightloop.tasks.reports.html import page
from nightloop.tasks.reports.plot_style import as_png, as_svg, canvas, png_markdown, style_axes
from nightloop.tasks.reports.plots import evidence_curve, line_styles, metric_curve, seconds_curve, volume_bars
from tests.reports import make_history
from tests.reports.test_format import HOSTILE, tags


@pytest.fixture(scope="module")
def history() -> History:
    return make_history.history()


def test_the_page_fetches_nothing_and_runs_nothing(history: History) -> None:
    html = page(history)
    assert not re.search(r"(src|href)\s*=\s*[\"']?(?!#)[a-z]", html) and "http" not in html.replace("http-equiv", "")
    assert "@import" not in html and "url(" not in re.sub(r"url\(#", "", html)
    assert "script" not in tags(html) and not any(tag.startswith("on") for tag in tags(html))
    assert len(html) < 300_000


def test_the_page_says_the_news_first(history: History) -> None:
    html = page(history)
    order = [
        "FineTune of 2026-01-05 serves since",
        "2026-01-13 is blocked",
        "<h2>Curves",
        "<h2>Leaderboard",
        "<h2>Nights",
    ]
    assert [html.index(text) for text in order] == sorted(html.index(text) for text in order)
    assert html.count("<figure") == 4 and html.count("<details") == 14 and html.count("<details open") == 1


def test_the_same_history_gives_the_same_bytes(history: History) -> None:
    assert page(history) == page(make_history.history())
    assert as_png(metric_curve(history)) == as_png(metric_curve(history))


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_names_reach_no_browser(name: str) -> None:
    nights = make_history.chain(6, ("NoUpdate", name))
    odd = {i: n.model_copy(update={"name": f"{name}{i}", "reason": name}) for i, n in nights.items()}
    document = {
        "checks": [{"check": name, "verdict": name, "observed": name, "note": [name]}],
        "rules": [{"rule": name}],
    }
    html = page(History(name, odd, log=(), validations={5: document}))
    clean = tags(page(History("p", make_history.chain(6), validations={5: make_history.document()})))
    assert tags(html) <= clean | {"clippath", "code"} and "\x1b" not in html and "‮" not in html and len(html) < 400_000


def test_every_figure_is_sound_svg_that_follows_the_page(history: History) -> None:
    for draw in (metric_curve, evidence_curve, seconds_curve, volume_bars):
        drawn = draw(history)
        assert drawn is not None
        svg = as_svg(drawn)
        ElementTree.fromstring(svg.replace("xlink:href", "href"))
        ids = re.findall(r'\sid="([^"]+)"', svg)
        assert all(one.startswith(f"{drawn.name}-") for one in ids) and len(ids) == len(set(ids))
        assert "var(--ink)" in svg and "#1f2328" not in svg and len(as_png(drawn)) < 100_000


def test_the_evidence_is_drawn_against_what_is_needed(history: History) -> None:
    drawn = evidence_curve(history)
    assert drawn is not None and drawn.words.startswith(
        ("No challenger has enough evidence", "There is enough evidence")
    )
    svg = as_svg(drawn)
    assert "enough" in svg and "evidence / needed" in svg
    first = {i: night for i, night in history.nights.items() if i < 4}
    assert evidence_curve(dataclasses.replace(history, nights=first)) is None


def test_curves_name_every_strategy_at_its_line(history: History) -> None:
    svg = as_svg(metric_curve(history))
    for words in (*make_history.STRATEGIES, "who served", "blocked", "missing", "ndcg@20"):
        assert words in svg
    assert len(set(line_styles([f"s{i}" for i in range(20)], None).values())) == 20


def test_labels_do_not_cover_each_other() -> None:
    names = ("NoUpdate", *(f"Twin{i}" for i in range(9)))
    drawn = metric_curve(History("books", make_history.chain(8, names)))
    axes = drawn.figure.axes[0]
    heights = sorted(t.get_position()[1] for t in axes.texts if t.get_text() in names)
    assert len(heights) == 10 and min(b - a for a, b in pairwise(heights)) > 0.04


def test_pictures_for_an_artifact_are_small(history: History) -> None:
    text = png_markdown(metric_curve(history))
    assert text.startswith("![") and "](data:image/png;base64," in text and len(text) < 100_000


def test_a_history_without_notes_has_no_seconds(history: History) -> None:
    assert seconds_curve(dataclasses.replace(history, notes={})) is None
    assert volume_bars(History("books", {})) is None and page(History("books", {}))
    for few in (0, 1, 2):
        lone = History("books", make_history.chain(few))
        assert page(lone) and as_png(metric_curve(lone))


def test_pyplot_and_its_settings_are_left_alone(history: History) -> None:
    keys = ("svg.fonttype", "svg.hashsalt", "font.size", "text.usetex")
    before, loaded = [matplotlib.rcParams[key] for key in keys], "matplotlib.pyplot" in sys.modules
    page(history)
    assert [matplotlib.rcParams[key] for key in keys] == before
    assert ("matplotlib.pyplot" in sys.modules) == loaded


@pytest.mark.parametrize("name", ["2026-01-{:02d}", "2026-01-01T{:02d}:00", "{:06d}", "a period of many words {:02d}"])
@pytest.mark.parametrize("nights", [1, 3, 8, 40])
def test_the_names_of_nights_below_a_plot_do_not_overlap(name: str, nights: int) -> None:
    figure, axes = canvas("a title", "a subtitle")
    style_axes(axes, [name.format(i) for i in range(nights)], "ndcg")
    figure.canvas.draw()
    boxes = [label.get_window_extent() for label in axes.get_xticklabels()]
    assert boxes and all(left.x1 < right.x0 for left, right in pairwise(boxes))
