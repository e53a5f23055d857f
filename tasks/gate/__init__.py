"""Whether a challenger may serve: paired evidence in, a verdict with reasons out.

What decides a promotion, in this order. The first failure ends it:

1. `policy.reference_label`: what served, with which all challengers are compared.
2. `evidence`: the rows of the last nights that both scored, paired.
3. `guardrails`: slices, calibration, entropy. Before them, a challenger that was surely worse in the last nights is rejected
   (`bootstrap`).
4. `term`: the evidence since the strategy that serves began to serve; `sequential_test` is its formula. A person who goes back
   to older weights begins a new term (`policy.moved_by_hand`). The incumbent's own newer weights and the first champion are
   judged by the interval of the last nights instead (`bootstrap`).
5. `decide`: the verdict of each challenger, and the winner, which is the one that gained most.
6. `policy`: a strategy that failed in the night is not promoted (`with_failures`); while the champion is pinned nobody is
   (`with_pin`); a winner that fails its smoke test gives way to the next best (`with_smoke_test`); if the plan requires
   approval, the champion stays until a person promotes (`next_champion`).

`night_gain` measures one night for `term`, and `number_words` writes numbers in reasons. Outside this room: `tasks/compare.py` reads
the scores and calls all but the last two functions of 6; `tasks/deploy.py` runs the smoke test and calls these two;
`record/promotions.py` moves the live champion after the night, unless a person has acted since.
"""
