"""The `nightloop` console script: each verb is a flow or a plain function, and says what it did."""

from __future__ import annotations

import logging
import os
import sys
from pathlib import Path
from typing import Annotated, Literal

import typer

from nightloop.flows.cli.experiments import bakeoff, tune
from nightloop.flows.cli.interrupt import Verbs
from nightloop.flows.cli.login import log_in, log_in_for_credentials, login, prefect_error, refuse_login_in_url
from nightloop.flows.cli.options import JSON, PLAN, PREFECT, REASON, What
from nightloop.flows.cli.output import fail, keep_log_record, report_fault, say, say_version
from nightloop.flows.cli.serve import serve
from nightloop.flows.cli.torchrun import follow_first_process
from nightloop.tasks.plan.errors import CORRECTABLE
from nightloop.tasks.plan.safe_text import guard_process

# Defaults of the environment: Prefect's own server in the background, with few log lines and a long start time-out.
SURROUNDINGS = {
    "OMP_WAIT_POLICY": "PASSIVE",  # torch's threads that wait by spinning stop each other on a busy machine
    "PREFECT_LOGGING_EXTRA_LOGGERS": "nightloop",
    "PREFECT_LOGGING_HANDLERS_API_CLASS": "nightloop.flows.cli.short_errors.RunPageLog",
    "PREFECT_LOGGING_LEVEL": "ERROR",
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    "PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS": "180",
    "DO_NOT_TRACK": "1",
}

app = typer.Typer(
    cls=Verbs,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="Keep a recommender fresh: every night collect, validate, retrain, compare, deploy.",
)
app.command()(serve)
app.command()(login)
app.command()(bakeoff)
app.command()(tune)


@app.callback()
def before_every_verb(
    context: typer.Context,
    show_version: Annotated[
        bool, typer.Option("--version", help="Say which release this is.", is_eager=True, callback=say_version)
    ] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Show where in the code an error was raised.")] = False,
) -> None:
    """Set what applies to every verb."""
    if debug:
        logging.getLogger("nightloop").setLevel(logging.DEBUG)
    follow_first_process(context)
    refuse_login_in_url(os.environ.get("PREFECT_API_URL", ""))
    log_in_for_credentials(context)


@app.command()
def demo(
    data: Annotated[Path | None, typer.Option(help="Your ratings or clicks: csv, parquet or jsonl, .gz too.")] = None,
    columns: Annotated[str, typer.Option(help="Your columns, if not usual: user=uid,item=sku,time=at")] = "",
    option: Annotated[
        list[str] | None,
        typer.Option(
            help="How your file is written, an option of the files source: delimiter=; or names=[user,item,time]"
        ),
    ] = None,
    clicks: Annotated[bool, typer.Option("--clicks", help="Serve simulated clicks, and learn from them.")] = False,
    search: Annotated[
        bool, typer.Option("--tune/--no-tune", help="With --data: search settings for the file first, for a minute.")
    ] = True,
    as_json: JSON = False,
    prefect: PREFECT = None,
) -> None:
    """Run the whole loop on simulated logs, or on your own file: nights, a bad one, a late correction, a rollback."""
    from nightloop.flows.demo.loop import demo as run

    say(run(data, columns, clicks, tuple(option or ()), search), as_json)


@app.command()
def night(
    plan: PLAN,
    period: Annotated[str, typer.Option(help="Period such as 2026-01-07; default: the newest that is closed.")] = "",
    catch_up: Annotated[int, typer.Option(help="Most missed nights to run before it.")] = 31,
    accept: Annotated[str, typer.Option(help="Accept a period that validation blocked, for this reason.")] = "",
    skip: Annotated[str, typer.Option(help="Skip a period that validation blocked, for this reason.")] = "",
    replay: Annotated[bool, typer.Option(help="Validate what was landed again, after a fix of the plan.")] = False,
    retry_failed: Annotated[
        bool, typer.Option("--retry-failed", help="Run a finished night again if a strategy failed in it.")
    ] = False,
    force: Annotated[bool, typer.Option("--force", help="With --skip: although the night is complete.")] = False,
    as_json: JSON = False,
    prefect: PREFECT = None,
) -> None:
    """Run one night, and the nights missed before it. A finished night changes nothing when run again."""
    from nightloop.flows.nightly import nightly

    say(nightly(plan, period, catch_up, accept, skip, replay, retry_failed, force), as_json)


@app.command()
def backfill(
    plan: PLAN,
    start: Annotated[str, typer.Option(help="First period; default: the root.")] = "",
    end: Annotated[str, typer.Option(help="Last period; default: the newest that is closed.")] = "",
    what: Annotated[What, typer.Option(help="Which nights of the range to run.")] = "missing and failed",
    strategy: Annotated[list[str] | None, typer.Option(help="Train only these; the others must be reusable.")] = None,
    dry_run: Annotated[bool, typer.Option(help="Show what would run, and why, and stop.")] = False,
    stop_on: Annotated[Literal["blocked", "warned"], typer.Option(help="Stop at a warning already.")] = "blocked",
    move_champion: Annotated[bool, typer.Option(help="Let the live champion follow to the newest period.")] = False,
    as_json: JSON = False,
    prefect: PREFECT = None,
) -> None:
    """Run a range of nights in order, after showing which and why. Run it again to resume."""
    from nightloop.flows.backfill import backfill as run

    chosen = "missing and failed" if what == "failed" else what
    say(run(plan, start, end, chosen, tuple(strategy or ()), dry_run, stop_on, move_champion), as_json)


@app.command()
def promote(
    plan: PLAN,
    strategy: Annotated[str, typer.Option(help="Strategy whose checkpoint is to serve.")] = "",
    period: Annotated[str, typer.Option(help="Its night; default: the newest complete one.")] = "",
    manifest: Annotated[str, typer.Option(help="Hash of the manifest you saw; refused if it has changed since.")] = "",
    reason: REASON = "",
    force: Annotated[bool, typer.Option(help="Although the gate did not say promote.")] = False,
    pin: Annotated[bool, typer.Option("--pin", help="The gate may not move it; alone: pin what serves now.")] = False,
    unpin: Annotated[bool, typer.Option("--unpin", help="The gate may move it; alone: unpin what serves now.")] = False,
    as_json: JSON = False,
    prefect: PREFECT = None,
) -> None:
    """Make a checkpoint the champion by hand, or pin or unpin the one that serves.

    A strategy continues to serve with its newer checkpoints. A period, or a manifest alone, is pinned.
    """
    from nightloop.flows.promote import promote as run

    say(run(plan, strategy, period, manifest, reason, force, pin, unpin), as_json)


@app.command()
def rollback(
    plan: PLAN,
    to: Annotated[str, typer.Option(help="Period of an earlier champion; default: the one before this.")] = "",
    reason: REASON = "",
    from_entry: Annotated[
        int | None, typer.Option("--from", help="Newest entry of the log as you saw it; goes further back.", min=1)
    ] = None,
    as_json: JSON = False,
    prefect: PREFECT = None,
) -> None:
    """Return to an earlier champion in one action and pin it: the gate does not move it. Repeated, it changes nothing."""
    from nightloop.flows.promote import rollback as run

    say(run(plan, to, reason, from_entry), as_json)


@app.command()
def status(
    plan: PLAN,
    on: Annotated[str, typer.Option(help="What served at this time, and why: 2026-01-07T09:00.")] = "",
    as_json: JSON = False,
) -> None:
    """Show the period grid, the leaderboard, which checkpoint serves and why, and what to do next."""
    from nightloop.flows.status import status as look

    say(look(plan, on), as_json)


@app.command()
def report(plan: PLAN, as_json: JSON = False) -> None:
    """Write the report of a pipeline to this machine, from the store, and say where it is."""
    from nightloop.flows.status import report as run

    say(run(plan), as_json)


@app.command()
def doctor(
    deep: Annotated[bool, typer.Option("--deep", help="Read every blob of every night too.")] = False,
    as_json: JSON = False,
) -> None:
    """Check this machine: versions, plug-ins, store, lake, disk, plans, and the Prefect server if there is one."""
    from nightloop.flows.cli.doctor import doctor as check

    report = check(deep)
    say(report, as_json)
    if not report["healthy"]:
        raise typer.Exit(1)


@app.command()
def check(
    plan: PLAN,
    every: Annotated[bool, typer.Option("--all", help="Read every row of every file.")] = False,
    as_json: JSON = False,
    prefect: PREFECT = None,
) -> None:
    """Read a sample of the logs that a plan names, and say what is in it and what a night would say. Nothing is written."""
    from nightloop.flows.check import check as run

    report = run(plan, every)
    say(report, as_json)
    if not report["sound"]:
        raise typer.Exit(1)


@app.command()
def up(
    port: Annotated[int, typer.Option(help="Port of the server and its UI.", min=1, max=65535)] = 4200,
    plan: Annotated[
        list[str] | None,
        typer.Option(help="Plan to deploy, whose schedule starts at once; give it several times. Default: simulated."),
    ] = None,
) -> None:
    """Start a Prefect server with its UI, the deployments of plans and a worker; Ctrl-C stops them."""
    from nightloop.flows.cli.up import up as start

    start(port, plan or ["simulated"])


@app.command()
def deploy(
    plans: Annotated[list[str], typer.Argument(help="Names of plans, or paths of YAML files.")], as_json: JSON = False
) -> None:
    """Register these plans' deployments with the server of PREFECT_API_URL; others stay."""
    from nightloop.flows.cli.deploy import deploy as run

    log_in()
    say(run(plans), as_json)


@app.command()
def worker(
    health_port: Annotated[
        int, typer.Option(help="Answer health checks at this port; 0: do not.", min=0, max=65535)
    ] = 0,
) -> None:
    """Run the runs of PREFECT_API_URL on this machine, until Ctrl-C, if it sees the store that they were deployed for."""
    from nightloop.flows.cli.worker import worker as start

    start(health_port)


@app.command()
def maintain(
    plan: PLAN,
    dry_run: Annotated[bool, typer.Option(help="Say what would be removed, and stop.")] = False,
    grace_days: Annotated[int, typer.Option(help="Days in the trash before deletion.", min=0, max=3650)] = 7,
    restore: Annotated[str, typer.Option(help="Bring back from the trash: all, or the number of a removal.")] = "",
    adopt: Annotated[bool, typer.Option("--adopt", help="List the pipelines of a store of an older release.")] = False,
    confirm: Annotated[str, typer.Option(help="With --adopt: all pipelines of the store, a,b.")] = "",
    as_json: JSON = False,
    prefect: PREFECT = None,
) -> None:
    """Compact the lake, and move what neither the chain nor the promotion log needs into the trash."""
    from nightloop.flows.maintain import maintain as run

    say(run(plan, dry_run, grace_days, restore, adopt, confirm), as_json)


def main() -> None:
    """Run a verb. An error that a person can correct is one sentence on stderr, with exit code 2; a fault ends with its
    traceback and exit code 70."""
    logging.basicConfig(level=logging.WARNING, stream=sys.stderr, format="%(levelname)s %(message)s")
    for handler in logging.getLogger().handlers:
        handler.addFilter(keep_log_record)
    guard_process()
    os.environ.update(SURROUNDINGS | os.environ)
    try:
        app()
    except CORRECTABLE as error:
        fail(error)
    except Exception as error:
        if reported := prefect_error(error):
            fail(reported)
        report_fault(error)


if __name__ == "__main__":
    main()
