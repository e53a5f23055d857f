"""Tuning: find settings of a plan's strategies, model and pre-training on the plan's own past periods."""
