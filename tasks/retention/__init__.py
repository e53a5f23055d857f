"""Retention: what the records need, and the removal of what none of them needs."""
