"""Whether a challenger may serve: paired evidence in, a verdict with reasons out.

`decide` judges each challenger with `evidence`, `bootstrap` and `guardrails`; `policy` says with whom it is compared and what
a failure, a pin, a smoke test and an approval change. Outside this room: `tasks/compare.py` reads the scores of the last
nights, and `record/promotions.py` moves the live champion after the night, unless a person has acted since.
"""
