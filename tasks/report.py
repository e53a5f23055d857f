"""Report: artifacts in the UI and one HTML page, drawn from the chain of nights."""

from __future__ import annotations

import json
from collections.abc import Mapping

from nightloop.tasks.artifacts import Bar, show_markdown
from nightloop.tasks.objects import blobs
from nightloop.tasks.orchestration import run, task
from nightloop.tasks.plan.atomic_file import write_text
from nightloop.tasks.plan.load import as_given
from nightloop.tasks.plan.plan import Plan
from nightloop.tasks.plan.settings import Settings
from nightloop.tasks.record.manifest import Manifest, TrainedCheckpoint
from nightloop.tasks.record.timings import write_timings
from nightloop.tasks.reports.grid import grid
from nightloop.tasks.reports.history import scored_nights
from nightloop.tasks.reports.html import page
from nightloop.tasks.reports.leaderboard import leaderboard
from nightloop.tasks.reports.load_history import history_of, read_history, read_recorded_nights
from nightloop.tasks.reports.plot_style import png_markdown
from nightloop.tasks.reports.plots import evidence_curve, metric_curve
from nightloop.tasks.reports.stored_report import read_report, report_key, save_report
from nightloop.tasks.reports.table import as_markdown
from nightloop.tasks.reports.validation import validation_markdown
from nightloop.tasks.reports.verdict import verdict_markdown
from nightloop.tasks.resources import open_lake, open_store

FIT = 5  # columns of the leaderboard that the UI shows without scrolling


@task("report {manifest.name}")
def report(manifest: Manifest, trained: Mapping[str, TrainedCheckpoint], live: bool) -> None:
    """Store the night's timings, and show its validation and its verdict in the UI. `live`: whether it moved the champion."""
    objects, pipeline = open_store(), manifest.pipeline
    if trained:
        write_timings(objects, manifest, {
            "seconds": {name: result.seconds for name, result in trained.items()},
            "bytes": {name: result.bytes for name, result in trained.items()},
        })  # fmt: skip
    details = [json.loads(blobs.get(objects, result.blob)) for result in manifest.validated]
    show_markdown(f"{pipeline}-validation", f"Validation of {manifest.name}", validation_markdown(manifest, details))
    show_markdown(f"{pipeline}-verdict", f"The gate on {manifest.name}", verdict_markdown(manifest, live))


@task("publish {plan.pipeline}")
def publish(plan: Plan, last: int | None = None) -> str:
    """Draw the grid, up to night `last`, the leaderboard and the HTML report. Returns the path of the report on this machine.

    The store keeps the report; the file on this machine is a copy. One that shows the same nights already stays as it is.
    """
    objects, path = open_store(), Settings().home / "reports" / f"{plan.pipeline}.html"
    stored, tag = read_report(objects, plan.pipeline)  # before the record, so that no newer page is replaced
    with open_lake(plan) as warehouse:
        record = read_recorded_nights(objects, warehouse, plan, last)
    stamp = f"<!-- {record.stamp} -->\n"
    if not run().prefect and stored.endswith(stamp):
        if not path.exists() or path.read_text(encoding="utf-8", errors="replace") != stored:
            write_text(path, stored)
        return str(path)
    history = history_of(objects, plan, record)
    record.store.save()
    drawn = page(history) + stamp
    save_report(objects, plan.pipeline, drawn, tag)
    write_text(path, drawn)
    where = f"{Settings().store_place}/{report_key(plan.pipeline)}"
    show_markdown(
        f"{plan.pipeline}-report",
        f"Report of {plan.pipeline}",
        f"The report is `{where}`. On any machine that sees the store, `nightloop report {as_given(plan.pipeline)}` writes "
        "it to a file.",
    )
    show_markdown(f"{plan.pipeline}-grid", f"Nights of {plan.pipeline}", as_markdown(grid(history).newest(60)))
    if run().prefect:  # the plot takes a second
        standing, details = leaderboard(history).parted(FIT)
        text = as_markdown(standing)
        if scored_nights(history):
            plots = [png_markdown(plot) for plot in (metric_curve(history), evidence_curve(history)) if plot]
            text = "\n".join([text, *plots, "", as_markdown(details)])
        show_markdown(f"{plan.pipeline}-leaderboard", f"Leaderboard of {plan.pipeline}", text)
    return str(path)


@task("progress of {plan.pipeline}: {done} of {total}")
def advance(plan: Plan, bar: Bar, done: int, total: int, last: int | None = None) -> None:
    """Move the bar of a range of nights, and refresh the grid if Prefect shows it."""
    if run().prefect:
        with open_lake(plan) as warehouse:
            history = read_history(open_store(), warehouse, plan, last)
        show_markdown(f"{plan.pipeline}-grid", f"Nights of {plan.pipeline}", as_markdown(grid(history).newest(60)))
    bar.at(done, total)
