"""Rare values: values of a category that are too rare for an id of their own, counted until they are not."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc


@dataclass(frozen=True)
class ValueCounts:
    """The counts of the values that share an id, at most `most` each. Values with larger counts have their own id.

    Source: the feature module of IncCTR (Wang et al. 2020).
    """

    most: int
    values: pa.Array  # text, in the order of first sight
    counts: pa.Array  # int64, 1 to `most`

    def count(self, values: pa.Array) -> tuple[ValueCounts, pa.Array, npt.NDArray[np.int64]]:
        """Count `values` (text, none with an id of its own), in order.

        Returns what is rare from now on; the values that became frequent, in the order in which they did; and the
        position in `values` where each did.
        """
        values_seen = pa.concat_arrays([self.values, values]).dictionary_encode()
        codes = np.asarray(values_seen.indices)[len(self.values) :]
        before = np.zeros(len(values_seen.dictionary), dtype=np.int64)
        before[: len(self.values)] = self.counts.to_numpy()
        times = before[codes] + _occurrence(codes)
        crossed = np.flatnonzero(times == self.most + 1)
        after = before + np.bincount(codes, minlength=len(before))
        stay = np.flatnonzero(after <= self.most)
        left = ValueCounts(self.most, values_seen.dictionary.take(pa.array(stay)), pa.array(after[stay], pa.int64()))
        return left, values_seen.dictionary.take(pa.array(codes[crossed])), crossed


def no_counts(most: int) -> ValueCounts:
    """Before the first value."""
    return ValueCounts(most, pa.array([], pa.large_string()), pa.array([], pa.int64()))


def frequent_values(values: pa.Array, ids: pa.Array) -> npt.NDArray[np.bool_]:
    """Which values have an id of their own: [n]."""
    return np.asarray(pc.is_in(values, value_set=ids).to_numpy(zero_copy_only=False), dtype=bool)


def _occurrence(codes: npt.NDArray[np.int32]) -> npt.NDArray[np.int64]:
    """For each code how often it came up to there: 1, 2, ..."""
    order = np.argsort(codes, kind="stable")
    sorted_codes = codes[order]
    begins = np.flatnonzero(np.diff(sorted_codes, prepend=-1))
    sizes = np.diff(np.append(begins, len(codes)))
    occurrences = np.empty(len(codes), dtype=np.int64)
    occurrences[order] = np.arange(len(codes)) - np.repeat(begins, sizes) + 1
    return occurrences
