"""Words and tables: whatever is in a name, it stays a name."""

from __future__ import annotations

import io
from html.parser import HTMLParser

import pytest
from rich.console import Console

from nightloop.tasks.gate.number_words import share
from nightloop.tasks.reports import format as w
from nightloop.tasks.reports.table import Cell, Table, as_html, as_markdown, as_rich

HOSTILE = [
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "a|b\n| c | d |\n# head",
    "[link](http://evil.example) ![p](http://evil.example/x.png)",
    "\x1b[31mred\x1b[0m\x07",
    "‮gnp.exe",
    "[bold red]x[/]",
    "`code` **b** $\\frac{1}{0}$",
    "x" * 1_000_000,
    "'; DROP TABLE logs; --",
    "../../etc/passwd",
    "",
]


class Tags(HTMLParser):
    """Collects the tags and attributes a browser would see."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen += [tag, *(name for name, _ in attrs)]


def tags(html: str) -> set[str]:
    parser = Tags()
    parser.feed(html)
    return set(parser.seen)


def table(name: str) -> Table:
    return Table(name, (name, "b"), ((Cell(name, "bad", name), Cell("1")),), name, frozenset({1}))


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_name_stays_text_everywhere(name: str) -> None:
    html = as_html(table(name))
    assert tags(html) <= {
        "h3",
        "div",
        "class",
        "tabindex",
        "table",
        "thead",
        "tbody",
        "tr",
        "th",
        "td",
        "scope",
        "title",
        "p",
    }
    markdown = as_markdown(table(name))
    assert (
        "<" not in markdown and "](" not in markdown.replace("\\](", "") and "://" not in markdown.replace("\\://", "")
    )
    body = [line for line in markdown.splitlines() if line.startswith("|")]
    assert len(body) == 3 and all(line.replace("\\|", "").count("|") == 3 for line in body)
    console = Console(width=80, record=True, force_terminal=True, file=io.StringIO())
    console.print(as_rich(table(name)))
    assert "\x07" not in console.export_text(styles=True) and len(html) + len(markdown) < 20_000


def test_plain_keeps_other_alphabets_and_shortens() -> None:
    assert w.plain("čeština 日本語 עברית") == "čeština 日本語 עברית"
    assert w.plain("a\n\tb") == "a b"
    assert w.plain("word " * 100, 12) == "word word w…"


@pytest.mark.parametrize(
    ("value", "said"),
    [(0.0123, "12 ms"), (0.4, "0.4 s"), (38.2, "38 s"), (100, "100 s"), (130, "2.2 min"), (7300, "2.0 h"), (None, "–")],
)
def test_seconds(value: float | None, said: str) -> None:
    assert w.seconds(value) == said


def test_numbers() -> None:
    assert w.number(float("nan")) == w.number(None) == w.count(None) == w.size(None) == w.percent(None) == "–"
    assert (w.size(812), w.size(4100), w.size(96e6)) == ("812 B", "4.1 kB", "96 MB")
    assert (w.percent(0.034), w.percent(-0.034)) == ("+3.4 %", "−3.4 %")
    assert (w.percent(1e7), w.percent(-1e7)) == ("more than +1,000 %", "less than −1,000 %")  # a base of nearly zero
    assert (share(-0.034), share(1e7), share(None)) == ("3.4 %", "more than 1,000 %", "an unknown share")
    assert w.join_words(["a", "b", "c", "d", "e"]) == "a, b, c and 2 more"
    assert (w.join_words([]), w.join_words(["a"]), w.join_words(["a", "b"])) == ("", "a", "a and b")


def test_newest_rows_say_what_is_hidden() -> None:
    whole = Table("t", ("a",), tuple((Cell(str(i)),) for i in range(40)))
    cut = whole.newest(10)
    assert [row[0].text for row in cut.rows] == [str(i) for i in range(30, 40)] and "30 older rows" in cut.note
    assert whole.newest(40) is whole


def test_an_empty_table_says_so() -> None:
    empty = Table("", ("a",), ())
    assert "Nothing to show yet" in as_markdown(empty) and "Nothing to show yet" in as_html(empty)
