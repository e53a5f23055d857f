"""Count code lines: those that hold a token other than a comment, a docstring or an import. No part of `make test`.

`python -m tests.count_code_lines [CHECKOUT]` prints one number for `flows/` and one for `tasks/` of a checkout.
"""

from __future__ import annotations

import ast
import io
import sys
import tokenize
from pathlib import Path

EMPTY = {tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT, tokenize.ENDMARKER}


def code_lines(text: str) -> int:
    """The number of code lines of a module.

    >>> code_lines('import os\\n\\n# a comment\\nx = (\\n    1\\n)\\n')
    3
    """
    left_out: set[int] = set()
    for node in ast.walk(ast.parse(text)):
        docstring = (
            isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)
        )
        if docstring or isinstance(node, ast.Import | ast.ImportFrom):
            left_out.update(range(node.lineno, (node.end_lineno or node.lineno) + 1))
    lines: set[int] = set()
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type not in EMPTY:
            lines.update(range(token.start[0], token.end[0] + 1))
    return len(lines - left_out)


def main(place: Path) -> None:
    """Print the numbers of a checkout."""
    for room in ("flows", "tasks"):
        files = sorted((place / room).rglob("*.py"))
        print(room, sum(code_lines(path.read_text()) for path in files), "code lines in", len(files), "files")


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "."))
