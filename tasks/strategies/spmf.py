"""SPMF: train on the newest period and a reservoir of earlier rows, badly predicted positives more often."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor

from nightloop.tasks.data.logs import COLUMNS, Logs
from nightloop.tasks.modules.checkpoint import Checkpoint, Weights, pack, unpack
from nightloop.tasks.modules.loss import Objective, labels
from nightloop.tasks.modules.model import Model
from nightloop.tasks.modules.train_config import TRAINING_SPACE, TrainConfig
from nightloop.tasks.plan.bounds import ROWS, refuse_outside
from nightloop.tasks.plan.errors import PlanError
from nightloop.tasks.plan.search_space import NumberRange, SearchSpace
from nightloop.tasks.retraining.checkpoint_memory import fit_and_keep, require_keys
from nightloop.tasks.retraining.reservoir import Reservoir, columns_of, empty_reservoir, load_reservoir
from nightloop.tasks.training.predict import predict


@dataclass(frozen=True)
class SPMF:
    """Stream-based probabilistic matrix factorisation, for rankings and for labelled logs.

    The reservoir is a uniform sample, without repeats, of all positives of the past. The newest period enters it after
    training.

    Rankings: T is the reservoir and the newest period. The positives of T are ranked by the score of yesterday's
    weights, r = 1 for the best. `training.epochs` times |T| rows are drawn with replacement, with probability exp(r /
    |T|) / sum, so that badly predicted positives are drawn more often. Negatives are uniform over the items seen that
    the user does not have in T.

    Labelled logs, as the second strategy of the ASMG code: all rows of the newest period, `ratio` times as many
    positives from the reservoir of positives, drawn by rank without replacement, and `ratio` times as many negatives,
    drawn uniformly from a reservoir of negatives.

    Parameters
    ----------
    size : int, default 7000
        Rows of a reservoir, 0 or more. 7000 is the value of the SML authors' code for Yelp. 0 replays nothing: that is
        fine-tuning.
    ratio : float, default 0.5
        Labelled logs only: rows replayed for each new row of the same label, 0 to 10. 0.5 is the value of the ASMG
        authors' code for MovieLens.
    training : TrainConfig, default 10 epochs, batch size 1024, lr 0.1, l2 0.03
        How the drawn rows are trained on.

    optimizer : {"keep", "reset"}, default "keep"
        What happens to the optimiser's state at the close of a period, as for `FineTune`.

    Raises
    ------
    PlanError
        `size` or `ratio` is out of range.
    DataError
        From `update`: the loss diverges, or the memory is that of another strategy.

    References
    ----------
    Wang et al. 2018, Streaming ranking based recommender systems.
    Peng et al. 2021, Learning an adaptive meta model-generator for incrementally updating recommender systems (labelled
    logs).

    Examples
    --------
    The log loss of the newest period, before it is trained on. Without retraining it is 0.693.

    >>> from nightloop.tasks.models.fm import FM
    >>> from nightloop.tasks.retraining.contract_chains import run_chain
    >>> from nightloop.tasks.retraining.contract_data import simulated_periods
    >>> from nightloop.tasks.retraining.prequential_loss import mean_logloss
    >>> from nightloop.tasks.strategies.spmf import SPMF
    >>> periods, model = simulated_periods("ctr", rows=200), FM(["user", "item"], width=4)
    >>> served = run_chain(model, SPMF(size=100), periods)[-2]
    >>> print(round(mean_logloss(model, served.weights, periods[-1].since(4)), 2))
    0.58
    """

    size: int = 7000
    ratio: float = 0.5
    training: TrainConfig = TrainConfig(epochs=10, batch_size=1024, lr=0.1, l2=0.03)  # noqa: RUF009 (frozen)
    optimizer: Literal["reset", "keep"] = "keep"
    search_space: ClassVar[SearchSpace] = {
        **TRAINING_SPACE,
        "size": NumberRange(1000, 50_000, log=True),
        "ratio": NumberRange(0.1, 1.0),
        "optimizer": ("keep", "reset"),
    }
    lookback: ClassVar[int] = 1  # the newest period; the reservoir holds the past

    def __post_init__(self) -> None:
        refuse_outside("size", self.size, ROWS, 0, "the rows of a reservoir")
        if not 0 <= self.ratio <= 10:
            raise PlanError(f"ratio: given {self.ratio}; it is rows replayed for each new one, 0 to 10")

    def start(self, model: Model, weights: Weights, logs: Logs) -> Checkpoint:
        """The pre-trained weights; the reservoirs are filled from the root's history."""
        reservoirs = {kind: empty_reservoir(logs) for kind in self._kinds(model)}
        return Checkpoint(logs.period, weights, self._offer_rows(reservoirs, logs))

    def update(self, model: Model, checkpoint: Checkpoint, logs: Logs) -> Checkpoint:
        """Train on the drawn rows, then add the newest period to the reservoirs."""
        return self.learn(model, checkpoint, logs, labels)

    def learn(self, model: Model, checkpoint: Checkpoint, logs: Logs, objective: Objective) -> Checkpoint:
        """The same for another objective; a row of a reservoir keeps the prediction that it was stored with."""
        reservoirs = self._load_reservoirs(model, checkpoint.memory)
        mixed = self._mix_rows(model, checkpoint.weights, logs, reservoirs)
        once = replace(self.training, epochs=1) if model.family == "ranking" and self.size else self.training
        fitted = fit_and_keep(model, checkpoint, mixed, once, objective(mixed), self.optimizer)
        return Checkpoint(logs.period, fitted.weights, {**fitted.memory, **self._offer_rows(reservoirs, logs)})

    def _kinds(self, model: Model) -> tuple[str, ...]:
        return ("positives",) if model.family == "ranking" else ("positives", "negatives")

    def _load_reservoirs(self, model: Model, memory: Weights) -> dict[str, Reservoir]:
        """The reservoirs of a memory. Raises PlanError if they are not there."""
        kinds = self._kinds(model)
        require_keys(memory, [f"{kind}/{name}" for kind in kinds for name in (*COLUMNS, "seen")], "SPMF")
        return {kind: load_reservoir(unpack(kind, memory)) for kind in kinds}

    def _offer_rows(self, reservoirs: dict[str, Reservoir], logs: Logs) -> dict[str, Tensor]:
        """The memory of the reservoirs after the rows of `logs` were offered to them."""
        memory: dict[str, Tensor] = {}
        for kind, reservoir in reservoirs.items():
            rows = logs.select((logs.label > 0.5) == (kind == "positives"))
            memory |= pack(kind, reservoir.offer(rows, self.size, logs.generator(f"spmf/{kind}")).memory())
        return memory

    def _mix_rows(self, model: Model, weights: Weights, logs: Logs, reservoirs: dict[str, Reservoir]) -> Logs:
        """What is trained on this period."""
        generator = logs.generator("spmf/draw")
        if model.family == "ranking":
            if not self.size:
                return logs
            both = join_logs(reservoirs["positives"].logs(logs), logs)
            chances = rank_chances(predict(model, weights, both))
            count = len(both) * self.training.epochs
            drawn = torch.multinomial(chances, count, True, generator=generator) if count else torch.arange(0)
            return both.select(drawn.sort().values)
        positives, negatives = (reservoirs[kind].logs(logs) for kind in ("positives", "negatives"))
        clicks = int(logs.label.sum())
        positive_count, negative_count = (
            min(int(self.ratio * n), len(r)) for n, r in ((clicks, positives), (len(logs) - clicks, negatives))
        )
        chances = rank_chances(predict(model, weights, positives))
        positive_rows = (
            torch.multinomial(chances, positive_count, generator=generator) if positive_count else torch.arange(0)
        )
        negative_rows = torch.randperm(len(negatives), generator=generator)[:negative_count]
        replayed = join_logs(
            positives.select(positive_rows.sort().values), negatives.select(negative_rows.sort().values)
        )
        return join_logs(replayed, logs)


def rank_chances(scores: Tensor) -> Tensor:
    """Probabilities by which SPMF draws rows: exp(rank / n), the best score first, divided by their sum.

    Parameters
    ----------
    scores : Tensor
        [n], the larger the better.

    Returns
    -------
    Tensor
        [n] float64 with sum 1. The largest is less than e times the smallest.

    Examples
    --------
    >>> import torch
    >>> from nightloop.tasks.strategies.spmf import rank_chances
    >>> [round(chance, 3) for chance in rank_chances(torch.tensor([0.9, 0.1])).tolist()]  # exp(1/2) to exp(1)
    [0.378, 0.622]
    """
    ranks = torch.empty(len(scores), dtype=torch.float64)
    ranks[torch.argsort(scores, descending=True, stable=True)] = torch.arange(1, len(scores) + 1, dtype=torch.float64)
    return torch.softmax(ranks / max(len(scores), 1), 0)


def join_logs(first: Logs, second: Logs) -> Logs:
    """The rows of `first` and then of `second`, with the vocabulary of `second`."""
    first_columns, second_columns = columns_of(first), columns_of(second)
    both: dict[str, Any] = {name: torch.cat([first_columns[name], second_columns[name]]) for name in COLUMNS}
    return replace(second, **both)
