"""Validation: is this period usable? Row rules, checks of the period, drift, and the verdict."""
