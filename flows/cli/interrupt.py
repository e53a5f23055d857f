"""Interrupt: Ctrl-C ends a verb with one sentence."""

from __future__ import annotations

import sys
from typing import Any

from typer.core import TyperGroup

from nightloop.flows.cli.ctrl_c import end_at_next_ctrl_c, was_pressed
from nightloop.tasks.plan.safe_text import safe_text

EXIT_CODE = 130  # as shells have it
SAID = "interrupted; what was finished is kept, run it again to resume"


class Verbs(TyperGroup):
    """The verbs of the console script. One that is interrupted says how far it came, and how to continue."""

    def invoke(self, ctx: Any) -> Any:
        """Run the verb that was asked for."""
        try:
            return super().invoke(ctx)
        except (KeyboardInterrupt, Exception) as error:
            end_at_next_ctrl_c()
            if isinstance(error, Exception) and not was_pressed():
                raise
            # The interrupt may have come in the middle of an import, after which no other import is safe.
            message = safe_text(str(error)) if isinstance(error, KeyboardInterrupt) and str(error) else SAID
            sys.stderr.write(f"nightloop: {message}\n")
            raise SystemExit(EXIT_CODE) from None
        finally:
            end_at_next_ctrl_c()
