"""Corpus of exports: files as other programs write them, found in public reports after those of corpus_public."""

from __future__ import annotations

from collections.abc import Iterator

from tests.sources.corpus import AT, Case, csv

TWO = [("ann", "1"), ("bob", "2")]


def blanks() -> Iterator[Case]:
    """Blanks around quotes, and delimiters of several characters (csv-parser 201, univocity 404, PapaParse 866)."""
    comment = {"comment": "#"}
    text = f'user, item, time\nann, "1", {AT}\n"bob" ,"2" ,{AT}\n'
    yield Case("blanks around quotes, line by line", "a.csv", csv(text), TWO, options=comment)
    titled = "user, title, item, time\nann, x, 1, {0}\nbob, {1}y, 2, {0}\ncat, z{1}, 3, {0}\ndan, z, 4, {0}\n"
    stray = [("unreadable_row", "a.csv:3: a quote is opened here and closed in line 4")]
    for end in ("\n", "\r\n"):
        lines = csv(titled.format(AT, '"').replace("\n", end))
        rows = [("ann", "1"), ("cat", "3"), ("dan", "4")]
        yield Case(f"quotes in two rows after blanks, ends {end!r}", "a.csv", lines, rows, stray)
    for several in ("||", "~|~", "::"):
        apart = {"delimiter": several}
        text = f'user,title,item,time\n"ann",x,1,{AT}\nbob,"y,z","2",{AT}\n'.replace(",", several)
        yield Case(f"quotes between {several}", "a.csv", csv(text), TWO, options=apart)
        yield Case(f"quotes between {several}, line by line", "a.csv", csv(text), TWO, options={**apart, **comment})


EXPORTS = [*blanks()]
