"""`python -m nightloop`: the console script."""

from nightloop.flows.cli.main import main

main()
