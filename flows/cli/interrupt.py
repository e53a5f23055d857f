"""Interrupt: Ctrl-C ends a verb with one sentence."""

from __future__ import annotations

import sys
from typing import Any

from typer.core import TyperGroup

from nightloop.tasks.plan.safe_text import outward

EXIT_CODE = 130  # as shells have it


class Verbs(TyperGroup):
    """The verbs of the console script. One that is interrupted says how far it came, and how to go on."""

    def invoke(self, ctx: Any) -> Any:
        """Run the verb that was asked for."""
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt as error:
            said = str(error) or "interrupted; what was finished is kept, run it again to resume"
            sys.stderr.write(f"nightloop: {outward(said)}\n")
            raise SystemExit(EXIT_CODE) from None
