"""Worker: a piece of a bake-off in its own process, so that its memory can be measured and a crash ends only this piece."""

from __future__ import annotations

import hashlib
import subprocess
import sys
from pathlib import Path
from typing import Literal

import torch
from pydantic import BaseModel, ConfigDict
from safetensors.torch import load_file, save_file

from nightloop.tasks.bakeoff.early_stop import StopRule
from nightloop.tasks.bakeoff.replay import ReplayInputs, replay_cell
from nightloop.tasks.bakeoff.run_result import RunResult
from nightloop.tasks.bakeoff.shared_inputs import logs_at_close, read_all_logs, write_candidates, write_weights
from nightloop.tasks.bakeoff.spec import Kind
from nightloop.tasks.data.logs import Logs
from nightloop.tasks.modules.checkpoint import Weights
from nightloop.tasks.plan.errors import ConflictError
from nightloop.tasks.plan.plan import Plan, Ranking, canonical_json
from nightloop.tasks.plan.redact import redact
from nightloop.tasks.plugins.assembly import Parts, assemble
from nightloop.tasks.retraining.advance import pretrain
from nightloop.tasks.retraining.strategy import ALL_HISTORY

OUTCOME, ROWS = "outcome.json", "rows.safetensors"
RUNNING: set[subprocess.Popen[str]] = set()  # processes that this one started and waits for


class Job(BaseModel):
    """One piece: the candidates of a seed, the weights of a model and a seed, or a cell. Files lie in `place`."""

    model_config = ConfigDict(frozen=True)

    do: Literal["deal", "start", "cell"]
    title: str  # what people call it
    key: str  # SHA-256 of all it depends on
    plan: Plan  # with this piece's model, seed and strategy
    label: str = ""  # of the strategy
    place: Path
    periods: tuple[int, ...]  # after the root
    kinds: tuple[Kind, ...] = ()  # none for clicks
    popular_negatives: int = 99
    stop: StopRule | None = None  # of a trial of a search

    @property
    def root(self) -> int:
        """The last period of pre-training."""
        return self.plan.pretrain_periods - 1

    @property
    def room(self) -> Path:
        """Where this piece writes."""
        return self.place / self.key

    @property
    def start(self) -> Path:
        """The weights that every strategy with this model and seed starts from."""
        parts = [part.model_dump(mode="json") for part in (self.plan.model, self.plan.pretrain)]
        digest = hashlib.sha256(canonical_json(parts)).hexdigest()[:16]
        return self.place / f"start-{digest}-{self.plan.seed}.safetensors"

    def ranking(self, kind: Kind) -> Ranking:
        """How rows are ranked against this kind of candidates."""
        few = {"negatives": self.popular_negatives, "catalogue": False}
        return self.plan.ranking.model_copy(update=few) if kind == "popular" else self.plan.ranking


def run_in_subprocess(job: Job) -> None:
    """Run the job in another process and wait. Raises ConflictError with its last line of output if it failed."""
    job.room.mkdir(parents=True, exist_ok=True)
    written = job.room / "job.json"
    written.write_text(job.model_dump_json(), encoding="utf-8")
    command = [sys.executable, "-P", "-m", "nightloop.tasks.bakeoff.worker", str(written)]
    quiet, piped = subprocess.DEVNULL, subprocess.PIPE
    with subprocess.Popen(command, stdout=quiet, stderr=piped, text=True, errors="replace") as process:
        RUNNING.add(process)
        try:
            _, stderr = process.communicate()
        finally:
            RUNNING.discard(process)
    if process.returncode < 0:
        memory = " (out of memory?)" if process.returncode == -9 else ""
        raise ConflictError(f"{job.title}: its process was ended by signal {-process.returncode}{memory}")
    if process.returncode:
        last = [line for line in stderr.splitlines() if line.strip()][-1:]
        raise ConflictError(f"{job.title}: {redact(''.join(last))[:600] or f'exit code {process.returncode}'}")


def end_workers() -> None:
    """End the processes that still work on a job: their results are not needed any more."""
    for process in list(RUNNING):
        process.kill()


def outcome_of(job: Job) -> RunResult:
    """What the process of a cell wrote."""
    return RunResult.model_validate_json((job.room / OUTCOME).read_text(encoding="utf-8"))


def run_job(job: Job) -> None:
    """Do the job in this process, with one thread, so that results are reproducible."""
    torch.set_num_threads(1)
    whole = read_all_logs(job.place, job.plan)
    if job.do == "deal":
        for kind in job.kinds:
            write_candidates(job.place, whole, job.periods, job.ranking(kind), kind)
    elif job.do == "start":
        parts = assemble(job.plan)
        write_weights(job.start, _pretrained(job, parts, whole))
    else:
        parts = assemble(job.plan)
        course = ReplayInputs(whole, job.root, job.periods, job.kinds, job.place, job.stop, job.plan.ranking.k)
        start = load_file(job.start) if job.start.exists() else _pretrained(job, parts, whole)
        outcome, rows = replay_cell(parts.model, parts.strategies[job.label], start, course)
        save_file(rows, job.room / ROWS)
        (job.room / OUTCOME).write_text(outcome.model_dump_json(), encoding="utf-8")


def _pretrained(job: Job, parts: Parts, whole: Logs) -> Weights:
    """The weights that the job's model begins with. A trial whose start no other trial shares makes it in its own process."""
    return pretrain(parts.model, parts.pretrain, logs_at_close(whole, job.root, ALL_HISTORY))


if __name__ == "__main__":
    run_job(Job.model_validate_json(Path(sys.argv[1]).read_text(encoding="utf-8")))
