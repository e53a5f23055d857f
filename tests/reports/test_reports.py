"""Reports: what a made-up history of nights says, to the letter where an operator decides by it."""

from __future__ import annotations

import dataclasses
import re

import pytest

from nightloop.tasks.record.manifest import Manifest
from nightloop.tasks.reports import grid, leaderboard
from nightloop.tasks.reports.backfill import backfill
from nightloop.tasks.reports.findings import findings, headline
from nightloop.tasks.reports.history import History, control, metric, served_value
from nightloop.tasks.reports.standings import standings
from nightloop.tasks.reports.table import as_markdown
from nightloop.tasks.reports.validation import validation_markdown
from nightloop.tasks.reports.verdict import sentence, verdict, verdict_markdown
from tests.reports import make_history


@pytest.fixture(scope="module")
def history() -> History:
    return make_history.history()


def column(table: object, name: str) -> list[str]:
    place = table.head.index(name)  # type: ignore[attr-defined]
    return [row[place].text for row in table.rows]  # type: ignore[attr-defined]


def test_grid_has_one_row_a_night_and_names_what_is_odd(history: History) -> None:
    table = grid.grid(history)
    assert column(table, "night") == [f"2026-01-{d:02d}" for d in range(1, 16)]
    assert column(table, "state")[-3:] == ["blocked", "stale", "missing"]
    assert column(table, "validation")[6] == "warned" and "new_user_rate" in column(table, "remarks")[6]
    assert column(table, "gate")[4] == "promote" and column(table, "champion after")[4] == "FineTune"
    assert column(table, "remarks")[10] == "repaired, revision 2"
    assert "1 blocked, 1 stale and 1 missing" in table.title


def test_grid_marks_who_served_and_who_was_best(history: History) -> None:
    table = grid.grid(history)
    night = table.rows[6]
    served = [head for head, cell in zip(table.head, night, strict=True) if "◆" in cell.text]
    best = [head for head, cell in zip(table.head, night, strict=True) if cell.mood == "best"]
    means = {s: history.nights[6].scores[s].means["ndcg@20"] for s in make_history.STRATEGIES}
    assert served == ["FineTune"] and best == [max(means, key=means.__getitem__)]


def test_grid_records_are_the_same_facts(history: History) -> None:
    record = grid.grid_records(history)[12]
    assert (record["name"], record["state"], record["rows"], record["quarantined"]) == ("2026-01-13", "blocked", 3, 41)
    assert record["scores"] == dict.fromkeys(["NoUpdate", "AverageWeights", "FineTune", "FullRetrain"])


def test_leaderboard_orders_by_the_metric_and_counts_wins(history: History) -> None:
    ranked = standings(history)
    values = [s.means["ndcg@20"] for s in ranked]
    assert values == sorted(values, reverse=True) and sum(s.wins for s in ranked) == 12
    assert leaderboard.leaderboard(history).title.startswith(f"{ranked[0].strategy} leads with ndcg@20")
    by_hand = [history.nights[i].scores["FineTune"].means for i in history.nights if history.nights[i].scores]
    expected = sum(m["ndcg@20"] * m["rows"] for m in by_hand) / sum(m["rows"] for m in by_hand)
    assert next(s for s in ranked if s.strategy == "FineTune").means["ndcg@20"] == pytest.approx(expected)


def test_leaderboard_pairs_with_the_control_where_rows_are_at_hand(history: History) -> None:
    rows = {s.strategy: s for s in standings(history)}
    assert rows["NoUpdate"].versus_control is None
    gap = rows["FullRetrain"].versus_control
    assert not isinstance(gap, float | None) and gap.low < gap.mean < gap.high and gap.rows == 12 * 560
    without = {s.strategy: s for s in standings(dataclasses.replace(history, scored={}))}
    assert isinstance(without["FullRetrain"].versus_control, float) and without["FullRetrain"].versus_control > 0


def test_less_is_better_where_it_is(history: History) -> None:
    plan = make_history.plan(gate={"metric": "logloss"})
    nights = {}
    for i, night in history.nights.items():
        scores = {
            s: found.model_copy(update={"means": {"rows": 10.0, "logloss": 0.5 + 0.01 * len(s)}})
            for s, found in night.scores.items()
        }
        nights[i] = night.model_copy(update={"plan": plan, "scores": scores})
    flipped = History("books", nights)
    assert metric(flipped) == "logloss" and standings(flipped)[0].strategy == "FineTune"
    assert standings(flipped)[0].versus_control is None or standings(flipped)[0].versus_control == pytest.approx(0.0)
    assert next(s for s in standings(flipped) if s.strategy == "FullRetrain").versus_control == pytest.approx(-0.03)
    assert "lower is better" in grid.grid(flipped).note


def test_the_metric_follows_the_plan(history: History) -> None:
    def asked(**changes: object) -> str:
        plan = make_history.plan(**changes)
        return metric(History("books", {0: history.nights[0].model_copy(update={"plan": plan})}))

    assert asked() == "ndcg@20" and asked(gate={"metric": "recall@10"}) == "recall@10"
    assert asked(columns={"label": "click"}) == "logloss" and asked(ranking={"k": [3, 7]}) == "ndcg@7"


def test_headline_says_who_since_when_and_why(history: History) -> None:
    said = headline(history)
    assert said == (
        "FineTune of 2026-01-05 serves since 2026-01-10 09:30, rolled back to by grace: complaints about stale lists"
    )
    without = headline(dataclasses.replace(history, log=()))
    assert without.startswith("No champion yet; by the replayed nights AverageWeights of 2026-01-09 would serve: +")
    assert "against NoUpdate" in without
    assert headline(History("books", {})) == "No champion yet: no night has promoted a strategy"


def test_findings_say_what_to_do_worst_first(history: History) -> None:
    found = findings(history)
    assert [f.mood for f in found][:4] == ["bad", "warn", "warn", "warn"]
    assert "2026-01-13 is blocked: rows is 3" in found[0].text and "--accept" in found[0].todo
    assert "--what stale" in found[1].todo and "--what missing" in found[2].todo and "pinned" in found[3].text


def test_findings_of_a_sound_chain_say_so_and_advise_the_cheaper_strategy() -> None:
    nights = make_history.chain(14)
    served = nights[8].checkpoints["FullRetrain"]
    moved = {
        i: n.model_copy(
            update={"champion": make_history.ChampionRef(strategy="FullRetrain", period=8, checkpoint=served)}
        )
        for i, n in nights.items()
    }
    replayed = findings(History("books", moved, notes=make_history.notes(moved)))
    assert "Replayed nights chose FullRetrain" in replayed[0].text and "there is no champion" in replayed[0].text
    entry = make_history.log(nights)[0].model_copy(
        update={"strategy": "FullRetrain", "period": 8, "by": "gate", "checkpoint": served}
    )
    older = nights[5].checkpoints["NoUpdate"]
    behind = entry.model_copy(update={"strategy": "NoUpdate", "period": 5, "checkpoint": older})
    late = findings(History("books", moved, log=(behind,), notes=make_history.notes(moved)))
    assert f"NoUpdate of {late[0].text[-17:-7]} serves" in late[0].text and "--move-champion" in late[0].todo
    found = findings(History("books", moved, log=(entry,), notes=make_history.notes(moved)))
    assert found[0].mood == "good" and any("AverageWeights has matched FullRetrain" in f.text for f in found)


def test_a_champion_of_a_night_that_was_skipped_or_run_again_since_is_named() -> None:
    sound = make_history.history()
    last = sound.log[-1]
    night = sound.nights[last.period]
    assert not any("as it was made first" in found.text for found in findings(sound))
    other = {**night.checkpoints, last.strategy: make_history.kept("another", 3)}
    for outcome, said in (("skipped", "was skipped since"), ("complete", "was run again with another result since")):
        changed = night.model_copy(update={"outcome": outcome, "checkpoints": other, "revision": 2})
        found = findings(dataclasses.replace(sound, nights={**sound.nights, last.period: changed}))
        assert any(said in one.text and "nightloop rollback" in one.todo for one in found)


def test_a_model_worse_than_the_control_is_called_out() -> None:
    nights = make_history.chain(12)
    for i in range(6, 12):
        scores = dict(nights[i].scores)
        better = {**scores["NoUpdate"].means, "ndcg@20": 0.9}
        scores["NoUpdate"] = scores["NoUpdate"].model_copy(update={"means": better})
        nights[i] = nights[i].model_copy(update={"scores": scores})
    assert any("worse than NoUpdate, which never learns" in f.text for f in findings(History("books", nights)))


def test_verdict_puts_reasons_first(history: History) -> None:
    night = history.nights[7]
    assert sentence(night) == "2026-01-08: no challenger is better enough; FineTune continues to serve"
    assert {row[0].text: row[1].text for row in verdict(night).rows}["FullRetrain"] == "reject"
    assert "would continue to serve" in verdict_markdown(night, live=False), "a replay moves nothing"
    text = verdict_markdown(night)
    assert "would" not in text and "old items lose 9.1 %" in text and night.hash[:12] in text
    assert sentence(history.nights[8]) == "2026-01-09: AverageWeights is promoted and takes over from FineTune"
    assert sentence(history.nights[12]).endswith("nothing was learned or compared; AverageWeights continues to serve")


def test_a_winner_that_waits_for_a_person_is_not_called_promoted(history: History) -> None:
    night = history.nights[8].model_copy(update={"champion": history.nights[8].served})
    assert "an operator has to approve it; FineTune serves meanwhile" in sentence(night)
    assert "FineTune would serve meanwhile" in sentence(night, live=False)


def test_validation_shows_failed_checks_first_and_what_to_do(history: History) -> None:
    text = validation_markdown(history.nights[12], [make_history.document()])
    order = [text.index(f"| {name}") for name in ("rows", r"new\_user\_rate", r"drift\_item", r"label\_rate")]
    assert order == sorted(order)
    assert "Row rules set 41 rows aside" in text and "--skip" in text and "row 9: 2026-01-14T00:00:03" in text
    assert "--skip" not in validation_markdown(history.nights[5], [])
    assert "statistic" in validation_markdown(history.nights[5], [])


def test_backfill_plan_says_how_many_and_why() -> None:
    @dataclasses.dataclass(frozen=True)
    class Step:
        period: int
        action: str
        why: str

    steps = [Step(3, "skip", "complete"), Step(4, "run", "missing"), Step(5, "run", "its predecessor runs")]
    table = backfill("books", steps, {3: "2026-01-04", 4: "2026-01-05"})
    assert table.title == "books: 2 nights to run, 2026-01-05 to period 5, in this order"
    assert "| 2026-01-05 | run | missing |" in as_markdown(table)
    assert "nothing to run" in backfill("books", steps[:1], {}).title


def test_nothing_breaks_on_a_lone_root_or_no_night_at_all() -> None:
    for nights in ({}, make_history.chain(1)):
        empty = History("books", nights)
        assert grid.grid(empty).head and leaderboard.leaderboard(empty).title == "No strategy has been scored yet"
        assert control(empty) in (None, "NoUpdate") and findings(empty)


def test_served_value_is_of_what_really_served(history: History) -> None:
    night: Manifest = history.nights[9]
    assert served_value(history, 9, "ndcg@20") == night.scores["@champion"].means["ndcg@20"]
    assert served_value(history, 0, "ndcg@20") is None


def test_markdown_of_many_nights_can_be_cut(history: History) -> None:
    text = as_markdown(grid.grid(history).newest(5))
    assert len(re.findall(r"^\| 2026", text, re.M)) == 5 and "10 older rows" in text


def test_equals_share_the_nights_they_won_and_the_root_costs_nothing() -> None:
    nights = make_history.chain(8)
    for i, night in nights.items():
        if night.scores:
            level = {
                **night.scores,
                "AverageWeights": night.scores["FineTune"],
                "FullRetrain": night.scores["NoUpdate"],
            }
            nights[i] = night.model_copy(update={"scores": level})
    notes = {i: {"seconds": {"FineTune": 0.0 if i == min(nights) else 2.0}} for i in nights}
    found = {s.strategy: s for s in standings(History("books", nights, notes=notes))}
    scored = found["FineTune"].nights
    assert found["FineTune"].wins == found["AverageWeights"].wins > 0 and found["FineTune"].seconds == 2.0
    assert found["FineTune"].wins + found["NoUpdate"].wins == scored
