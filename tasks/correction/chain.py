"""Chain: several correctors in order, with what they have learned about one version of the model."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from torch import Tensor

from nightloop.tasks.correction.corrector import Corrector, ScoredRows, Shape, State
from nightloop.tasks.modules.checkpoint import Weights, pack, unpack
from nightloop.tasks.plan.errors import DataError

Notes = tuple[Tensor, ...]  # one a corrector, each [n, m]


@dataclass(frozen=True)
class Chain:
    """Several correctors; each corrects what the one before returned. Not safe for several threads at once.

    Parameters
    ----------
    version : str
        The version of the model whose errors these are. What was learned about one version says nothing about another.
    correctors : mapping of str to Corrector
        By label, in order.
    states : dict of str to State
        What each has learned, by label.
    """

    version: str  # of the model
    correctors: Mapping[str, Corrector]
    states: dict[str, State]

    def correct(self, scored: ScoredRows) -> tuple[Tensor, Notes]:
        """Corrected probabilities [n], and the notes that `observe` needs with the labels."""
        notes = []
        for label, corrector in self.correctors.items():
            probability, note = corrector.correct(self.states[label], scored)
            scored = ScoredRows(scored.rows, scored.hidden, probability)
            notes.append(note)
        return scored.probability, tuple(notes)

    def observe(self, version: str, notes: Notes, label: Tensor) -> None:
        """Learn from labels [n]. Raises DataError if the notes are of another version of the model."""
        if version != self.version:
            raise DataError(
                f"these rows were served by {version}, the correctors learned from {self.version}: their errors are not "
                "comparable. Score the rows again with the model that serves"
            )
        for (name, corrector), note in zip(self.correctors.items(), notes, strict=True):
            self.states[name] = corrector.observe(self.states[name], note, label)

    def snapshot(self) -> dict[str, Tensor]:
        """All states as named tensors, copied."""
        return {
            name: tensor.clone() for label, state in self.states.items() for name, tensor in pack(label, state).items()
        }


def begin_chain(version: str, correctors: Mapping[str, Corrector], shape: Shape) -> Chain:
    """A chain that has learned nothing."""
    return Chain(version, correctors, {label: corrector.start(shape) for label, corrector in correctors.items()})


def restore_chain(fresh: Chain, version: str, tensors: Weights) -> Chain:
    """`fresh` with what a snapshot holds. Raises DataError if that is of another version or of other options."""
    if version != fresh.version:
        raise DataError(f"the snapshot is of {version}, the model that serves is {fresh.version}")
    states = {label: unpack(label, tensors) for label in fresh.states}
    wrong = [label for label, state in fresh.states.items() if _shapes(state.items()) != _shapes(states[label].items())]
    if wrong:
        raise DataError(f"the snapshot of {', '.join(wrong)} was made with other options")
    return Chain(version, fresh.correctors, {label: dict(state) for label, state in states.items()})


def _shapes(tensors: Iterable[tuple[str, Tensor]]) -> dict[str, tuple[object, ...]]:
    return {name: (tensor.dtype, *tensor.shape) for name, tensor in tensors}
