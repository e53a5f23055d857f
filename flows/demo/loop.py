"""Demo: the whole loop on simulated logs, or on your own file, with a line for each step."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console

from nightloop.flows.backfill import backfill
from nightloop.flows.check import check
from nightloop.flows.demo.clicks import clicks_world
from nightloop.flows.demo.plans import (
    BAD,
    COMPLAINTS,
    HISTORY,
    LAST,
    MENDED,
    PERIODS,
    PRETRAINED,
    options_of,
    own_plan,
    world_plan,
    write_plan,
)
from nightloop.flows.demo.tuned import tune_own_plan
from nightloop.flows.nightly import nightly
from nightloop.flows.promote import rollback
from nightloop.flows.status import status
from nightloop.tasks.data.load import read_logs, read_pairs
from nightloop.tasks.data.vocabulary import vocabulary_from_bytes
from nightloop.tasks.evaluation.summary import summarize_metrics
from nightloop.tasks.inspection.infer_columns import columns_of_file
from nightloop.tasks.lake.periods import parse
from nightloop.tasks.objects import blobs
from nightloop.tasks.plan.errors import PlanError
from nightloop.tasks.plan.plan import Plan
from nightloop.tasks.plan.safe_text import safe_text
from nightloop.tasks.plan.settings import Settings
from nightloop.tasks.record import manifest_store
from nightloop.tasks.record.manifest import CHAMPION
from nightloop.tasks.record.night_context import walk_back
from nightloop.tasks.resources import open_lake, open_store, read
from nightloop.tasks.simulation.deliver import deliver
from nightloop.tasks.simulation.oracle import oracle_scores
from nightloop.tasks.sources.simulated import Simulated

console = Console(stderr=True, highlight=False)


def demo(
    data: Path | None, columns: str, clicks: bool, options: Sequence[str] = (), tuned: bool = True
) -> dict[str, Any]:
    """Run the pipeline `demo`, `clicks`, or `own` on a user's file. Returns grid, leaderboard and the report's path.

    `options`: how the file is written, NAME=VALUE, as the files source has them. `tuned`: search settings for the file
    first, for a minute.
    """
    began = time.perf_counter()
    search = tune_own_plan if tuned else _leave_settings
    plan = (
        _run_own_data(data, columns, options, search)
        if data
        else clicks_world(_say, _print_lines)
        if clicks
        else _world()
    )
    document = status(plan.stem)
    return {**document, "seconds": round(time.perf_counter() - began, 1), "text": f"{document['text']}\n{_next(plan)}"}


def _next(plan: Path) -> str:
    """Commands to try next."""
    lake = Path(Settings().lake_place).resolve() / f"{plan.stem}.sqlite"
    return "\n".join([
        f"The pipeline `{plan.stem}` stays, its plan is {plan}. Continue with it:",
        f"  nightloop status {plan.stem}",
        f"  nightloop bakeoff {plan.stem}",
        f"  nightloop tune {plan.stem}",
        f"  its logs, in any DuckDB: ATTACH 'ducklake:sqlite:{lake}' AS lake (READ_ONLY); FROM lake.collected;",
    ])  # fmt: skip


def _world() -> Path:
    """Run fourteen nights of simulated logs: a promotion, a bad night, a late correction, refusals, a rollback."""
    world = Simulated()
    days = Settings().home.resolve() / "deliveries" / "demo"
    plan = write_plan(world_plan(days, world.start))
    names = [deliver(world, days, index, bad=index == BAD).stem for index in range(LAST + 1)]

    _say(1, f"pre-train on {HISTORY} days of history, then run the nights one by one")
    for index in range(HISTORY - 1, BAD):
        _print_lines(nightly(str(plan), names[index]))

    _say(2, f"the delivery of {names[BAD]} is broken: validation stops that night before anyone learns from it")
    _show_blocked_night(plan, names[BAD])
    _say(3, "an operator skips it, with a reason, and the loop continues")
    _print_lines(nightly(str(plan), names[BAD], skip="upstream outage; the good file comes later"))
    for index in range(BAD + 1, MENDED):
        _print_lines(nightly(str(plan), names[index]))

    _say(
        4, "the good file arrives late; collected again it is a new version, and nights built on the old one are stale"
    )
    deliver(world, days, BAD)
    _print_lines(nightly(str(plan), names[BAD]))
    _print_lines(backfill(str(plan), names[BAD], names[MENDED - 1], "stale", dry_run=True))
    _print_lines(backfill(str(plan), names[BAD], names[MENDED - 1], "stale", move_champion=True))

    _say(5, "the nights continue")
    for index in range(MENDED, LAST + 1):
        _print_lines(nightly(str(plan), names[index]))

    _say(6, "a challenger that the gate refused, and why")
    _show_refusal(plan)

    _say(7, "the newest champion gets complaints: one action rolls it back")
    _print_lines([rollback(str(plan), reason=COMPLAINTS)])
    _say(8, "the best possible score: an oracle that knows the simulation behind the logs")
    _print_lines([_best_possible(read(str(plan)), world)])
    return plan


def _best_possible(plan: Plan, world: Simulated) -> str:
    """The oracle's score on the last night, and that of the champion."""
    objects = open_store()
    nights = list(walk_back(objects, manifest_store.current_manifest(objects, plan.pipeline, LAST)))
    vocabulary = vocabulary_from_bytes(blobs.get(objects, nights[0].vocabulary or ""))
    versions = [[(logs.period, logs.version) for logs in night.logs] for night in nights]
    with open_lake(plan) as warehouse:
        logs = read_logs(warehouse, plan, vocabulary, versions[0], plan.seed)
        taken = read_pairs(warehouse, vocabulary, sorted(v for earlier in versions[1:] for v in earlier))
    best = summarize_metrics(
        oracle_scores(world.oracle(LAST), vocabulary, logs, taken, plan.ranking), plan.family, plan.ranking.k
    )
    served = nights[0].scores[CHAMPION].means
    return f"{nights[0].name}: ndcg@20 of the oracle {best['ndcg@20']:.4f}, of what served {served['ndcg@20']:.4f}"


def _leave_settings(plan: Path) -> list[str]:
    return ["the usual settings are used, since no search was wanted; nightloop tune own finds others"]


def _run_own_data(data: Path, columns: str, options: Sequence[str], search: Callable[[Path], Sequence[str]]) -> Path:
    """Run the same loop on a user's file: twenty periods of equal counts, the first six for pre-training."""
    document = own_plan(data, columns, options_of(options))
    plan, used = write_plan(document), document["columns"]
    liked = f"{used['label']} is the click" if used["label"] else "every row counts as liked"
    rows = f"{PERIODS} periods of {document['periods']['rows']:,} rows, the first {PRETRAINED} for pre-training"
    _say(1, f"{data.name}: {used['user']} takes {used['item']} at {used['time']}; {liked}; {rows}")
    roles = {used[role] for role in ("user", "item", "time", "label")}
    if unused := [name for name in columns_of_file(str(data), options_of(options)) if name not in roles]:
        todo = "to use them, name them in the plan's columns.categorical or columns.numeric"
        _print_lines([f"not used: {', '.join(unused)[:300]}; {todo}"])
    _print_lines((checked := check(str(plan)))["text"])
    if checked["stops"]:
        raise PlanError(f"{data.name}: validation would stop a night of these rows, for the reasons above")
    _say(2, "settings for this file, searched on the periods of the pre-training; --no-tune skips it")
    _print_lines(search(plan))
    _say(3, "the nights, one by one")
    _print_lines(backfill(str(plan), end=str(PERIODS - 1), what="missing", move_champion=True))
    return plan


def _say(number: int, text: str) -> None:
    console.print(f"\n{number}. {safe_text(text)}", style="bold", markup=False, emoji=False, soft_wrap=True)


def _print_lines(lines: Sequence[str]) -> None:
    for line in lines:
        console.print(f"   {safe_text(line)}", markup=False, emoji=False, soft_wrap=True)


def _show_refusal(plan: Path) -> None:
    """Show which strategy the gate refused last, and why."""
    loaded_plan = read(str(plan))
    chain = manifest_store.read_chain(open_store(), loaded_plan.pipeline, HISTORY - 1, LAST)
    for index in sorted(chain, reverse=True):
        for name, judged in chain[index].judged.items():
            if judged.verdict == "reject":
                _print_lines([f"{chain[index].name}, {name}: {' '.join(judged.reasons)}"])
                return


def _show_blocked_night(plan: Path, name: str) -> None:
    """Run a night that validation must stop, and show what an operator would see."""
    try:
        nightly(str(plan), name)
    except RuntimeError as stopped:
        loaded_plan = read(str(plan))
        manifest = manifest_store.current_manifest(
            open_store(), loaded_plan.pipeline, parse(loaded_plan.periods, name).index
        )
        if manifest is None or manifest.outcome != "blocked":
            raise
        _print_lines([str(stopped)])
        return
    raise RuntimeError(f"the night of {name} should have been stopped by validation, and was not")
