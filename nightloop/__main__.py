"""The console script, and `python -m nightloop`."""

import sys


def main() -> None:
    """Run a verb. Ctrl-C while Python still reads modules is one sentence too: some packages raise errors of their own for it."""
    try:
        from nightloop.flows.cli.ctrl_c import handle_ctrl_c

        handle_ctrl_c()
        from nightloop.flows.cli.main import main as verbs

        verbs()
    except Exception as error:
        if not _interrupted(error):
            raise
        _say()
    except KeyboardInterrupt:
        _say()


def _interrupted(error: BaseException | None) -> bool:
    """Whether Ctrl-C led to this error."""
    return error is not None and (
        isinstance(error, KeyboardInterrupt) or _interrupted(error.__cause__ or error.__context__)
    )


def _say() -> None:
    sys.stderr.write("nightloop: interrupted; what was finished is kept, run it again to resume\n")
    sys.exit(130)  # as shells have it


if __name__ == "__main__":
    main()
