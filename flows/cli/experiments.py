"""The verbs `bakeoff` and `tune`: replays of a history that change no champion, no night and no plan."""

from __future__ import annotations

from typing import Annotated

import typer

from nightloop.flows.cli.options import JSON, PLAN, PREFECT, Candidates
from nightloop.flows.cli.output import say

RUNNER = Annotated[str, typer.Option(help="processes; dask: a local cluster; dask:tcp://HOST:PORT or ray://HOST:PORT.")]


def bakeoff(
    plan: PLAN,
    strategies: Annotated[str, typer.Option(help="Labels of the plan or names, a,b; default: all of the plan.")] = "",
    models: Annotated[str, typer.Option(help="Names of models, a,b; default: the plan's.")] = "",
    seeds: Annotated[str, typer.Option(help="Seeds, 0,1,2; default: the plan's.")] = "",
    start: Annotated[str, typer.Option(help="First period that is scored; default: the one after the root.")] = "",
    end: Annotated[str, typer.Option(help="Last period; default: the newest in the lake.")] = "",
    test_periods: Annotated[str, typer.Option(help="Test periods, a,b..c; default: all that are scored.")] = "",
    baselines: Annotated[str, typer.Option(help="Compare with these labels; default: FineTune, FullRetrain.")] = "",
    candidates: Annotated[Candidates, typer.Option(help="How negatives are drawn.")] = "",
    spec: Annotated[str, typer.Option(help="YAML file that says all this, with parts and tuning.")] = "",
    runner: RUNNER = "processes",
    workers: Annotated[int, typer.Option(help="Cells side by side.")] = 2,
    as_json: JSON = False,
    prefect: PREFECT = None,
) -> None:
    """Replay a history with many strategies, models and seeds on an equal footing. Moves no champion; run again to resume."""
    from nightloop.flows.bakeoff import bakeoff as run
    from nightloop.flows.bakeoff import split_names, split_numbers

    entrants = split_names(strategies), split_names(models), split_numbers(seeds)
    periods, against = (start, end, split_names(test_periods)), split_names(baselines)
    report = run(plan, *entrants, *periods, against, candidates, spec=spec, runner=runner, workers=workers)
    say(report, as_json)


def tune(
    plan: PLAN,
    budget: Annotated[float, typer.Option(help="Minutes that the search may take.")] = 10.0,
    trials: Annotated[int, typer.Option(help="Most settings that are tried for each strategy.")] = 60,
    strategies: Annotated[str, typer.Option(help="Labels of the plan, a,b; default: all that can be tuned.")] = "",
    space: Annotated[str, typer.Option(help="YAML file with what to search, by label, model or pretrain.")] = "",
    end: Annotated[str, typer.Option(help="Last period that is read; default: the newest, or 16 after the root.")] = "",
    pretrain_periods: Annotated[int, typer.Option(help="Periods that trials pre-train on; 0: as the plan.")] = 0,
    out: Annotated[str, typer.Option(help="The new plan; default: NAME.tuned.yaml beside the plan.")] = "",
    runner: RUNNER = "processes",
    workers: Annotated[int, typer.Option(help="Trials side by side.")] = 2,
    as_json: JSON = False,
    prefect: PREFECT = None,
) -> None:
    """Find better settings on past periods and write them as a new plan. Changes no plan and no night; run again to go on."""
    from nightloop.flows.bakeoff import split_names
    from nightloop.flows.tune import read_space
    from nightloop.flows.tune import tune as run

    chosen = read_space(space) if space else None
    say(
        run(plan, budget, trials, split_names(strategies), chosen, end, pretrain_periods, out, runner, workers), as_json
    )
