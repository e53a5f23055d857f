"""Demo of the closed loop: the next night learns from the predictions that the champion served and their labels."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import torch

from nightloop.flows.demo.plans import BEGINNING, trained_parts, write_plan
from nightloop.flows.nightly import nightly
from nightloop.flows.promote import promote
from nightloop.tasks.evaluation.ctr_metrics import logloss
from nightloop.tasks.plan.settings import Settings
from nightloop.tasks.resources import open_store
from nightloop.tasks.serving.pending_labels import ScoredRequest, ScoreRequest
from nightloop.tasks.serving.predictor import Predictor
from nightloop.tasks.serving.serving_log import ServingLog
from nightloop.tasks.simulation.latent_world import Ints
from nightloop.tasks.sources.click_world import ClickWorld, Day

HISTORY, LAST = 4, 7  # days that were served without nightloop; index of the last day
REQUEST = 100  # impressions a request
WORLD = ClickWorld(like="avazu", drift=0.5)
SERVED = "prediction"  # the column of the served probability

Say = Callable[[int, str], None]
Tell = Callable[[Sequence[str]], None]


def clicks_plan(folder: Path) -> dict[str, Any]:
    """The plan `clicks`. Its source reads the records of the service, a file a day."""
    columns = {**WORLD.columns.model_dump(mode="json"), "key": ["request", "place"], "logged_probability": SERVED}
    return {
        "pipeline": "clicks",
        "source": {"use": "files", "options": {"path": f"{folder}/labelled/{{period}}.jsonl"}},
        "columns": columns,
        "periods": {"every": "day", "start": WORLD.start, "end": str(_day(LAST + 1)), "timezone": "UTC"},
        "pretrain_periods": HISTORY,
        **trained_parts("served-clicks"),
    }


def clicks_world(say: Say, tell: Tell) -> Path:
    """Run the demo: serve, correct, record and learn from four days of simulated clicks. Returns the plan's path."""
    folder = Settings().home.resolve() / "served" / "clicks"
    plan = write_plan(clicks_plan(folder))
    say(1, f"pre-train on {HISTORY} days of clicks that were served without nightloop: {WORLD.describe()}")
    for number in range(HISTORY):
        _write_day_of_others(folder, number)
    tell(nightly(str(plan), str(_day(HISTORY - 1))))
    tell([promote(str(plan), "fine-tune", reason=BEGINNING, force=True)])
    say(2, "the champion serves each day; labels arrive within hours, correctors learn from them, and all is recorded")
    predictor = Predictor.open(open_store(), "clicks")
    for number in range(HISTORY, LAST + 1):
        predictor.refresh()
        tell([_serve_day(predictor, folder, number)])
        tell(nightly(str(plan), str(_day(number))))
    say(3, "every row of these nights has the probability that was served: ReLoop learned from real served predictions")
    return plan


def _serve_day(predictor: Predictor, folder: Path, number: int) -> str:
    """Serve a day, request by request. Before each, learn from the labels that have arrived. Returns the day's metrics."""
    world, pages = WORLD.day(number), list[ScoredRequest]()
    records = ServingLog(folder, predictor.now.plan)
    arrived, done = np.argsort(world.known, kind="stable"), 0
    back = world.known[arrived]
    for position, rows in enumerate(_requests(world)):
        due = int(np.searchsorted(back, world.times[rows.start]))
        records.write_labelled(predictor.observe(_labels(world, number, arrived[done:due])).rows)
        done = max(done, due)
        page = predictor.answer(
            _score_request(world, rows), f"{number}-{position}", _iso_time(int(world.times[rows.start]))
        )
        records.write_served(f"{number}-{position}", page)
        pages.append(page)
    records.write_labelled(predictor.observe(_labels(world, number, arrived[done:])).rows)
    records.close()
    label = torch.tensor(world.label)
    predicted = [chance for page in pages for chance in page.base]
    served = [chance for page in pages for chance in page.prediction]
    chances = (predicted, served, world.chance)
    base, corrected, truth = (float(logloss(label, torch.tensor(chance)).mean()) for chance in chances)
    entry = predictor.version
    return (
        f"{_day(number)}: {len(label):,} impressions served by {entry.strategy} of {entry.name}; LogLoss {base:.4f} as "
        f"predicted, {corrected:.4f} as served, corrected; {truth:.4f} with the true probabilities"
    )


def _write_day_of_others(folder: Path, number: int) -> None:
    """Write a day as a service without nightloop would have logged it: clicks without predictions."""
    world, lines = WORLD.day(number), []
    for position, rows in enumerate(_requests(world)):
        request, served_at = _score_request(world, rows), _iso_time(int(world.times[rows.start]))
        for row, (user, item, features) in enumerate(request.rows(range(len(request)))):
            line = {
                WORLD.columns.user: user,
                WORLD.columns.item: item,
                **features,
                "ts": served_at,
                "place": row,
                SERVED: None,
            }
            lines.append(
                json.dumps({**line, "request": f"{number}-{position}", "click": int(world.label[rows.start + row])})
            )
    path = folder / "labelled" / f"{_day(number)}.jsonl"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


def _requests(world: Day) -> Iterator[slice]:
    return (slice(first, first + REQUEST) for first in range(0, len(world.label), REQUEST))


def _score_request(world: Day, rows: slice) -> ScoreRequest:
    values = world.values[rows].astype(str).T.tolist()
    numbers = dict(zip(WORLD.columns.numeric, world.numbers[rows].T.tolist(), strict=True))
    return ScoreRequest(
        values[0], values[1], {**dict(zip(WORLD.columns.categorical, values[2:], strict=True)), **numbers}
    )


def _labels(world: Day, number: int, rows: Ints) -> list[tuple[str, list[float | None]]]:
    """Labels of some rows of a day, as `observe` takes them: by request, None for rows whose labels have not arrived."""
    labels: dict[str, list[float | None]] = {}
    for row in rows.tolist():
        request, position = divmod(row, REQUEST)
        size = min(REQUEST, len(world.label) - request * REQUEST)
        labels.setdefault(f"{number}-{request}", [None] * size)[position] = float(world.label[row])
    return list(labels.items())


def _iso_time(microseconds: int) -> str:
    return datetime.fromtimestamp(microseconds / 1e6, UTC).isoformat()


def _day(number: int) -> date:
    return date.fromisoformat(WORLD.start) + timedelta(days=number)
