"""Plug-ins: what a plan names, built; every mistake of a plan in one error."""
