"""The console script, and `python -m nightloop`."""

import sys


def main() -> None:
    """Run a verb. Ctrl-C while Python still reads its modules is one sentence as well."""
    try:
        from nightloop.flows.cli.main import main as verbs

        verbs()
    except KeyboardInterrupt:
        sys.stderr.write("nightloop: interrupted; what was finished is kept, run it again to resume\n")
        sys.exit(130)  # as shells have it


if __name__ == "__main__":
    main()
