"""Whether a challenger may serve: paired evidence in, a verdict with reasons out.

Six files decide a promotion:

1. `policy.reference_label`: what served, with which all challengers are compared.
2. `evidence`: the rows of the last `gate.evidence_nights` nights that both scored, paired.
3. `term` and its formula, `sequential_test`: the gains of all nights since the strategy that serves began to serve. A person who
   goes back to older weights begins a new term (`policy.moved_by_hand`). The incumbent's own newer weights and the first
   champion are judged by the interval of the last nights instead.
4. `guardrails`: slices, calibration, entropy. One that surely fails rejects; one of which nothing is sure holds.
5. `decide`: puts 2 to 4 together to the verdict of each challenger. It asks in this order: whether the challenger was surely
   worse in the last nights, the guardrails, the evidence. The winner is the one that gained most; of equal ones the
   incumbent, else the first in the plan.
6. `policy`: a strategy that failed in the night is not promoted (`with_failures`); while the champion is pinned nobody is
   (`with_pin`); a winner that fails its smoke test gives way to the next best (`with_smoke_test`); if the plan requires
   approval, the champion stays until a person promotes (`next_champion`).

The other files measure. `bootstrap` is the interval of a mean over users: what lies beyond its bound is surely so, and with fewer
than 20 users nothing is. `night_gain` is one night's gain beyond `gate.min_gain` in standard errors, for `term`. `number_words`
writes numbers in reasons. Outside this room `tasks/compare.py` reads the scores, but for strategies that failed in a night, in the
plan's leading metric, and calls all but the last two functions of 6; `tasks/deploy.py` runs the smoke test and calls these two;
`record/promotions.py` moves the live champion after the night, unless a person has acted since.
"""
