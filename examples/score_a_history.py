"""Score two strategies on a history, as in a notebook: a pandas DataFrame in, one score for each period out.

Run it with: python examples/score_a_history.py               (simulated logs)
         or: python examples/score_a_history.py ratings.csv   (columns: user, item, time)

Each day is a period. The first three days pre-train the model. On each later day every strategy is first scored on rows
that it has not seen, and then trains on them. Neither Prefect nor a server nor a lake is needed.
"""

import sys

import pandas as pd
import torch

from nightloop.tasks.bakeoff.shared_inputs import logs_at_close
from nightloop.tasks.data.logs import Logs
from nightloop.tasks.evaluation.candidates import sample_candidates
from nightloop.tasks.evaluation.score_period import scored_period
from nightloop.tasks.evaluation.summary import summarize_metrics
from nightloop.tasks.models.mf import MF
from nightloop.tasks.plan.plan import Ranking
from nightloop.tasks.retraining.advance import fold, pretrain, start_chain
from nightloop.tasks.retraining.strategy import ALL_HISTORY, Strategy
from nightloop.tasks.sources.simulated import Simulated
from nightloop.tasks.strategies.fine_tune import FineTune
from nightloop.tasks.strategies.full_retrain import FullRetrain
from nightloop.tasks.strategies.no_update import NoUpdate

ROOT = 2  # the last period that pre-trains
MODEL = MF(width=8, biases=True)
STRATEGIES: dict[str, Strategy] = {"NoUpdate": NoUpdate(), "FineTune": FineTune()}


def simulated() -> pd.DataFrame:
    """Nine days of a small simulated world, whose users and items change."""
    world = Simulated(users=200, items=150, rows=1000)
    whole = pd.concat([pd.DataFrame(world.day(day).to_pydict()) for day in range(9)])
    return whole.rename(columns={"user_id": "user", "item_id": "item", "ts": "time"})


def to_logs(frame: pd.DataFrame) -> Logs:
    """The rows as tensors. Ids are numbered in the order of their first row; every row is a positive."""
    time = pd.to_datetime(frame["time"], utc=True).dt.as_unit("us")
    rows = frame.assign(time=time).sort_values(["time", "user", "item"])
    periods = pd.factorize(rows["time"].dt.floor("D"))[0]  # days without rows are left out
    codes = [pd.factorize(rows[field])[0] for field in ("user", "item")]
    born = tuple(torch.tensor(pd.Series(periods).groupby(code).min().to_numpy(), dtype=torch.int32) for code in codes)
    return Logs(
        period=int(periods[-1]),
        periods=torch.tensor(periods, dtype=torch.int32),
        fields=("user", "item"),
        rows=torch.stack([torch.tensor(code, dtype=torch.int64) for code in codes], 1),
        numeric=torch.zeros(len(rows), 0),
        label=torch.ones(len(rows)),
        time=torch.tensor(rows["time"].astype("int64").to_numpy()),
        sizes=tuple(len(first) for first in born),
        born=born,  # the period in which each id was first seen
        seed=0,
    )


def score(logs: Logs, strategy: Strategy) -> dict[int, float]:
    """NDCG@20 of each period after the root, among 99 sampled items: test, then train."""
    root, found = logs_at_close(logs, ROOT, ALL_HISTORY), {}
    checkpoint = start_chain(MODEL, strategy, pretrain(MODEL, FullRetrain(begin="scratch"), root), root)
    for period in range(ROOT + 1, logs.period + 1):
        taken = logs.rows[logs.periods < period]
        candidates = sample_candidates(logs_at_close(logs, period, 1), taken, Ranking(negatives=99))
        scored = scored_period(MODEL, checkpoint.weights, candidates.logs, candidates)
        found[period] = summarize_metrics(scored, "ranking")["ndcg@20"]
        checkpoint = fold(MODEL, strategy, checkpoint, logs_at_close(logs, period, strategy.lookback))
    return found


if __name__ == "__main__":
    frame = pd.read_csv(sys.argv[1], dtype={"user": str, "item": str}) if len(sys.argv) > 1 else simulated()
    logs = to_logs(frame)
    print(f"{len(logs)} rows, {logs.sizes[0]} users, {logs.sizes[1]} items, {logs.period + 1} periods")
    table = pd.DataFrame({name: score(logs, strategy) for name, strategy in STRATEGIES.items()})
    table.loc["mean"] = table.mean()
    print(table.rename_axis("NDCG@20 of period").to_string(float_format="{:.4f}".format))
