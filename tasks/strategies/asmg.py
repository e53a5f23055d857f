"""ASMG: a generator, itself learned from period to period, makes the served weights from a learner's last weights."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import ClassVar, Literal

import torch
from torch import Tensor

from nightloop.tasks.data.logs import Logs
from nightloop.tasks.meta.generator import Generator
from nightloop.tasks.meta.generator_training import TrainingWindow, learn_generator
from nightloop.tasks.meta.meta_state import MetaState, load_meta_state, new_meta_state
from nightloop.tasks.modules.checkpoint import Checkpoint, Weights, pack, unpack
from nightloop.tasks.modules.fused_tables import PREFIX
from nightloop.tasks.modules.model import Model
from nightloop.tasks.modules.train_config import TrainConfig
from nightloop.tasks.plan.bounds import ROUNDS, ROWS, refuse_outside
from nightloop.tasks.plan.errors import PlanError
from nightloop.tasks.plan.search_space import NumberRange, SearchSpace
from nightloop.tasks.retraining.checkpoint_memory import (
    pack_snapshots,
    past_weights,
    require_keys,
    require_shapes,
    update_learner,
)
from nightloop.tasks.retraining.prequential_loss import make_judge, weights_at_close
from nightloop.tasks.retraining.strategy import ALL_HISTORY, Strategy, refuse_composed
from nightloop.tasks.training.weight_average import Snapshot

Variant = Literal["multi", "unif", "single", "zero", "full", "Linear"]


@dataclass(frozen=True)
class MetaGenerator:
    """A generator for windows of `window` weights, what it has learned, and its next hidden state."""

    window: int
    generator: Generator
    meta: MetaState
    hidden: dict[str, Tensor]  # empty if every window starts at 0

    def start(self, weights: Weights) -> dict[str, Tensor]:
        """The hidden state to start at."""
        return self.hidden or ({} if self.generator.form == "Linear" else self.generator.blank(weights))


@dataclass(frozen=True)
class ASMG:
    """Adaptive sequential model generation: serves what a generator makes of a learner's last weights.

    served(t) = M(w_t-k+1, ..., w_t), with w_t the weights of the learner, which continues from w_t and never from what
    is served; the pre-trained weights are no part of the sequence. M is a GRU over each number of the weights
    (`nightloop.tasks.meta.generator`).

    At the close of t, after it was scored, M is trained on w_t-k..w_t-1 so that its i-th output does well on D_i+1.
    Then the learner learns, and the last output of M is served. The learner's weights are served until there
    are k of them with a later period. In a period without rows M is not trained. A skipped period counts with the next.

    Parameters
    ----------
    learner : Strategy
        Any strategy. The paper uses fine-tuning (IU): FineTune.
    variant : {"multi", "unif", "single", "zero", "full", "Linear"}, default "multi"
        `multi`: the hidden state is carried from window to window, as a constant: the state after the window's first
        step, computed once after training. The losses of the k outputs are weighted 1 : 2 : ... : k. `unif`: they are
        weighted equally. `single`: only the last output has a loss. `zero`: as `multi`, but every window starts at
        hidden state 0. `full`: as `zero`, with all weights since the first, so that memory, time and the logs read grow
        with every period. `Linear`: a learned mean of the last k weights.
    window : int or tuple of int, default 3
        k, the number of weights in a window, 1 or more. 3 is the value of the authors' code. Several values have a
        generator each, and their costs add up; the one is served that would have served the closed period best (ties:
        the first named), by the plan's leading metric for a ranking and by log loss for clicks. For `full` it is the
        number of weights from which on M is trained.
    hidden : int, default 4
        Numbers in the state of each GRU, 1 or more. 4 is best on all data sets of the paper.
    residual : bool, default False
        Not in the paper. True adds w_t to the output, so that M starts as the learner. Not for `Linear`.
    mask_inactive : bool, default False
        Not in the paper. True leaves rows that no weights of the window changed as they are.
    training : TrainConfig, default 3 epochs, batch size 1024, lr 0.01
        How M is trained, by Adam in float32, with `l2` on the parameters of M. Batch size and lr are those of the
        authors' code, which takes 1 epoch of far more rows.

    min_steps : int, default 150
        Not in the paper. Fewest steps of M a night: the batch is made smaller until there are so many. With 7,000 rows a
        night a batch of 1024 leaves 7 steps, where the paper's data sets have hundreds. 0: the batch size as it is.

    Raises
    ------
    PlanError
        An option is out of range or does not fit the variant.
    DataError
        From `update`: a loss diverges, or the memory was made with other options.

    References
    ----------
    Peng et al. 2021, Learning an adaptive meta model-generator for incrementally updating recommender systems. Its code
    is danni9594/ASMG.

    Examples
    --------
    The log loss of the newest period, before it is trained on. Without retraining it is 0.693.

    >>> from nightloop.tasks.models.fm import FM
    >>> from nightloop.tasks.retraining.contract_chains import run_chain
    >>> from nightloop.tasks.retraining.contract_data import simulated_periods
    >>> from nightloop.tasks.retraining.prequential_loss import mean_logloss
    >>> from nightloop.tasks.strategies.asmg import ASMG
    >>> from nightloop.tasks.strategies.fine_tune import FineTune
    >>> periods, model = simulated_periods("ctr", rows=200), FM(["user", "item"], width=4)
    >>> served = run_chain(model, ASMG(FineTune(), window=2, residual=True), periods)[-2]
    >>> print(round(mean_logloss(model, served.weights, periods[-1].since(4)), 3))
    0.593
    """

    learner: Strategy
    variant: Variant = "multi"
    window: int | tuple[int, ...] = 3
    hidden: int = 4
    residual: bool = False
    mask_inactive: bool = False
    training: TrainConfig = TrainConfig(epochs=3, batch_size=1024, lr=0.01)  # noqa: RUF009 (frozen)
    min_steps: int = 150
    search_space: ClassVar[SearchSpace] = {
        "window": (2, 3, 4, 6),
        "hidden": (2, 4, 8),
        "min_steps": NumberRange(50, 1000, log=True),
    }

    def __post_init__(self) -> None:
        refuse_composed(self.learner, "ASMG")
        self.training.refuse_ranking_options("ASMG's generator")
        self.training.refuse_gpu("ASMG's generator")
        if (
            not self.windows
            or not 1 <= min(self.windows) <= max(self.windows) <= ROUNDS
            or len(set(self.windows)) < len(self.windows)
        ):
            raise PlanError(
                f"window: given {self.window}; it counts weights, 1 to {ROUNDS:,}, several to choose from differ"
            )
        if self.variant == "full" and len(self.windows) > 1:
            raise PlanError(f"window: given {self.window}; full has all weights, a number says when it begins")
        refuse_outside("min_steps", self.min_steps, ROWS, 0, "the fewest steps of the generator a night")
        refuse_outside("hidden", self.hidden, ROUNDS, what="the numbers of a GRU's state")
        if self.residual and self.variant == "Linear":
            raise PlanError("residual: given true for Linear, whose output is a mean already; it is for the GRUs")

    @property
    def windows(self) -> tuple[int, ...]:
        """The window lengths to choose from."""
        return self.window if isinstance(self.window, tuple) else (self.window,)

    @property
    def lookback(self) -> int:
        """The periods that judge a window, or more if the learner reads more; the last output alone needs one."""
        judges = {"full": ALL_HISTORY, "single": 1, "Linear": 1}.get(self.variant, max(self.windows))
        return max(judges, self.learner.lookback)

    @property
    def reads_ranking(self) -> bool:
        """Whether there is a choice."""
        return len(self.windows) > 1

    def start(self, model: Model, weights: Weights, logs: Logs) -> Checkpoint:
        """The learner's start is served; generators at their first values, no weights in the window."""
        learned = self.learner.start(model, weights, logs)
        makers = self._makers(model, learned.weights, logs)
        return Checkpoint(logs.period, learned.weights, self._memory([], learned, makers, 0))

    def update(self, model: Model, checkpoint: Checkpoint, logs: Logs) -> Checkpoint:
        """Choose a window, train the generators and then the learner, generate the served weights."""
        pool, makers, before = self._load_memory(model, checkpoint, logs)
        choice = self._choose(model, makers, pool, logs, before)
        makers = [self._train_maker(model, maker, pool, logs) for maker in makers]
        learner_weights = pool[0].weights if pool else checkpoint.weights
        learner_checkpoint = Checkpoint(checkpoint.period, learner_weights, unpack("learner", checkpoint.memory))
        learned = update_learner(self.learner, "ASMG's learner", model, learner_checkpoint, logs)
        older = pool if self.variant == "full" else pool[: max(self.windows) - 1]
        pool = [Snapshot(learned.weights, logs.period), *older]
        served = self._generate_weights(makers[choice], [past.weights for past in pool])
        return Checkpoint(logs.period, served, self._memory(pool, learned, makers, choice))

    def _makers(self, model: Model, weights: Weights, logs: Logs) -> list[MetaGenerator]:
        """One for each window; first values are the same for all variants of a form."""
        makers, keeps_hidden = [], self.variant in ("multi", "unif", "single")
        for k in self.windows:
            form: Literal["GRU", "Linear"] = "Linear" if self.variant == "Linear" else "GRU"
            generator = Generator(model.fields, form, self.hidden, self.residual, k)
            meta = new_meta_state(generator.parameters(model, weights, logs.generator("asmg/generator")))
            makers.append(MetaGenerator(k, generator, meta, generator.blank(weights) if keeps_hidden else {}))
        return makers

    def _memory(
        self, pool: Sequence[Snapshot], learned: Checkpoint, makers: Sequence[MetaGenerator], choice: int
    ) -> dict[str, Tensor]:
        memory = {**pack("learner", learned.memory), **pack_snapshots(pool), "choice": torch.tensor([choice])}
        for number, maker in enumerate(makers):
            memory |= pack(f"generators/{number}", _maker_tensors(maker))
        return memory

    def _load_memory(
        self, model: Model, checkpoint: Checkpoint, logs: Logs
    ) -> tuple[list[Snapshot], list[MetaGenerator], int]:
        """Pool, makers and choice of a memory. Raises DataError if it was made with other options."""
        memory, makers = checkpoint.memory, []
        require_keys(memory, ("pool/periods", "choice", "generators/"), "ASMG")
        for number, maker in enumerate(self._makers(model, checkpoint.weights, logs)):
            folder = f"generators/{number}"
            require_shapes(memory, pack(folder, _maker_tensors(maker)), "ASMG")
            meta = load_meta_state(unpack(f"{folder}/meta", memory))
            makers.append(replace(maker, meta=meta, hidden=unpack(f"{folder}/hidden", memory)))
        return past_weights(memory), makers, min(int(memory["choice"]), len(makers) - 1)

    def _choose(
        self, model: Model, makers: Sequence[MetaGenerator], pool: Sequence[Snapshot], logs: Logs, before: int
    ) -> int:
        """Position of the maker that would have served the newest period best; `before` if nothing can be compared."""
        if len(makers) == 1 or not pool or not len(logs.since(logs.period)):
            return before
        close, losses = pool[0].period, []
        judge = make_judge(model, logs, close)
        weights = [weights_at_close(past.weights, logs, close) for past in pool]
        for maker in makers:
            past_maker = replace(maker, hidden=weights_at_close(maker.hidden, logs, close))
            losses.append(judge(self._generate_weights(past_maker, weights)))
        return losses.index(min(losses))

    def _train_maker(self, model: Model, maker: MetaGenerator, pool: Sequence[Snapshot], logs: Logs) -> MetaGenerator:
        """The maker after training on its window; unchanged while the window is not full."""
        if len(pool) < maker.window:
            return maker
        window = list(reversed(pool if self.variant == "full" else pool[: maker.window]))
        ends = [*(past.period for past in window[1:]), logs.period]
        targets = [_between(logs, past.period, end) for past, end in zip(window, ends, strict=True)]
        sequence = [past.weights for past in window]
        hidden = maker.start(sequence[-1])
        training_window = TrainingWindow(sequence, hidden, targets, self._shares(len(window)))
        training = self.training.with_steps(len(targets[-1]), self.min_steps)
        meta = learn_generator(model, maker.generator, maker.meta, training_window, training)
        next_hidden = maker.generator.advance_hidden(meta.parameters, sequence[0], hidden) if maker.hidden else {}
        return replace(maker, meta=meta, hidden=next_hidden)

    def _shares(self, count: int) -> list[float]:
        """The weight of the loss of each output of a window, oldest first; they add up to 1."""
        if self.variant in ("single", "Linear"):
            return [0.0] * (count - 1) + [1.0]
        weights = [1 if self.variant == "unif" else weight for weight in range(1, count + 1)]
        return [weight / sum(weights) for weight in weights]

    def _generate_weights(self, maker: MetaGenerator, newest_first: Sequence[Weights]) -> dict[str, Tensor]:
        """The last output for the window, or the learner's weights as long as the generator was not trained."""
        if not maker.meta.steps or len(newest_first) < maker.window:
            return dict(newest_first[0])
        sequence = list(reversed(newest_first if self.variant == "full" else newest_first[: maker.window]))
        weights = maker.generator.generate(maker.meta.parameters, sequence, maker.start(sequence[-1]))
        for name in weights if self.mask_inactive else ():
            if name.startswith(PREFIX):
                unchanged = torch.stack([(w[name] == sequence[-1][name]).all(1) for w in sequence]).all(0)
                weights[name][unchanged] = sequence[-1][name][unchanged]
        return weights


def _maker_tensors(maker: MetaGenerator) -> dict[str, Tensor]:
    """A maker as tensors of a checkpoint's memory; hidden states grow with their tables, by zeros."""
    return {**pack("meta", maker.meta.memory()), **pack("hidden", maker.hidden)}


def _between(logs: Logs, after: int, until: int) -> Logs:
    """The rows after one period, until the close of another, which is then the newest."""
    return replace(logs.select((logs.periods > after) & (logs.periods <= until)), period=until)
