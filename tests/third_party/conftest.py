"""These tests run where the package is installed; tests/strategies/test_third_party.py installs it and runs them."""

from importlib.util import find_spec

collect_ignore = [] if find_spec("half_step") else ["tests"]
