"""A table as a value, and its three faces: markdown for artifacts, rich for the terminal, HTML for the report."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

from rich import box
from rich.table import Table as RichTable
from rich.text import Text

from nightloop.tasks.evaluation.paired_difference import Difference
from nightloop.tasks.reports.format import NONE, count, escape_html, escape_markdown, plain, signed

Mood = Literal["", "good", "warn", "bad", "quiet", "best"]
STYLES: dict[str, str] = {
    "": "",
    "good": "green",
    "warn": "yellow",
    "bad": "bold red",
    "quiet": "dim",
    "best": "bold green",
}


@dataclass(frozen=True)
class Cell:
    """What one cell says. Colour only repeats what the words say: a reader may not see it."""

    text: str
    mood: Mood = ""
    hint: str = ""  # the longer words, shown on hovering


@dataclass(frozen=True)
class Table:
    """A title that says the finding, a head, rows of cells, and a note on how to read them."""

    title: str
    head: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]
    note: str = ""
    right: frozenset[int] = frozenset()  # columns of numbers, set to the right

    def newest(self, most: int) -> Table:
        """The last `most` rows, with a note on how many are not shown."""
        return self._part(self.rows[-most:], "older")

    def oldest(self, most: int) -> Table:
        """The first `most` rows, with a note on how many are not shown."""
        return self._part(self.rows[:most], "later")

    def _part(self, rows: tuple[tuple[Cell, ...], ...], which: str) -> Table:
        hidden = len(self.rows) - len(rows)
        note = f"{self.note} {hidden:,} {which} rows are not shown.".strip()
        return replace(self, rows=rows, note=note) if hidden else self

    def first(self, columns: int) -> Table:
        """The first `columns` columns: what a terminal has room for."""
        rows = tuple(row[:columns] for row in self.rows)
        return replace(self, head=self.head[:columns], rows=rows)

    def parted(self, columns: int) -> tuple[Table, Table]:
        """Two narrower tables: `columns` columns with title and note, and the rest beside the first column again."""
        rest = tuple((row[0], *row[columns:]) for row in self.rows)
        right = frozenset(j - columns + 1 for j in self.right if j >= columns)
        return self.first(columns), Table("", (self.head[0], *self.head[columns:]), rest, "", right)


def difference_cell(gap: Difference | None) -> Cell:
    """A paired difference with its interval; green or red if the interval excludes zero."""
    if gap is None:
        return Cell(NONE, "quiet")
    mood: Mood = "good" if gap.low > 0 else "bad" if gap.high < 0 else ""
    hint = f"95 % interval over {count(gap.users)} users and {count(gap.rows)} rows"
    return Cell(f"{signed(gap.mean)} [{signed(gap.low)}, {signed(gap.high)}]", mood, hint)


def as_markdown(table: Table) -> str:
    """A GitHub table under a heading; every cell is escaped."""
    rules = ["--:" if j in table.right else "---" for j in range(len(table.head))]
    lines = [f"### {escape_markdown(table.title)}", ""] if table.title else []
    if not table.rows:
        return "\n".join([*lines, (table.note and escape_markdown(table.note, 2000)) or "Nothing to show yet."]) + "\n"
    lines += [_line([escape_markdown(h) for h in table.head]), _line(rules)]
    lines += [_line([_bold(cell) for cell in row]) for row in table.rows]
    if table.note:
        lines += ["", escape_markdown(table.note, 2000)]
    return "\n".join(lines) + "\n"


def as_rich(table: Table) -> RichTable:
    """A rich table; cells are `Text`, so that square brackets in a name stay what they are."""
    rich_table = RichTable(
        title=Text(plain(table.title), style="bold"),
        title_justify="left",
        box=box.SIMPLE_HEAD,
        pad_edge=False,
        caption=Text(plain(table.note, 2000)) if table.note else None,
        caption_justify="left",
    )
    for j, head in enumerate(table.head):
        rich_table.add_column(Text(plain(head)), justify="right" if j in table.right else "left", overflow="fold")
    for row in table.rows:
        rich_table.add_row(*(Text(plain(cell.text), style=STYLES[cell.mood]) for cell in row))
    return rich_table


def as_records(table: Table) -> list[dict[str, str]]:
    """The rows as plain text by the heads, for a table artifact."""
    heads = [plain(head) or "choice" for head in table.head]
    return [{head: plain(cell.text) for head, cell in zip(heads, row, strict=True)} for row in table.rows]


def as_html(table: Table, caption: str = "h3") -> str:
    """A table that scrolls inside its own box on a phone; every name in it is escaped."""
    title = f"<{caption}>{escape_html(table.title)}</{caption}>" if table.title else ""
    note = f'<p class="note">{escape_html(table.note, 2000)}</p>' if table.note else ""
    if not table.rows:
        return title + (note or '<p class="note">Nothing to show yet.</p>')
    right = dict.fromkeys(table.right, ' class="n"')
    head = "".join(f"<th{right.get(j, '')} scope=col>{escape_html(h)}</th>" for j, h in enumerate(table.head))
    rows = "\n".join(f"<tr>{''.join(_cell(j, c, table) for j, c in enumerate(row))}</tr>" for row in table.rows)
    inside = f"<thead><tr>{head}</tr></thead>\n<tbody>{rows}</tbody>"
    return f'{title}<div class="scroll" tabindex="0"><table>{inside}</table></div>{note}'


def _cell(column: int, cell: Cell, table: Table) -> str:
    classes = " ".join(c for c in ("n" if column in table.right else "", cell.mood) if c)
    hint = f' title="{escape_html(cell.hint, 2000)}"' if cell.hint else ""
    tag = f"<{'th scope=row' if column == 0 else 'td'}" + (f' class="{classes}"' if classes else "") + hint
    return f"{tag}>{escape_html(cell.text)}</{'th' if column == 0 else 'td'}>"


def _line(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cells) + " |"


def _bold(cell: Cell) -> str:
    text = escape_markdown(cell.text)
    return f"**{text}**" if cell.mood in ("best", "bad") and text else text
