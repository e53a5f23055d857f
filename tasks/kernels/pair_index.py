"""Pair index: which pairs of a user and an item are known, compiled by numba. Importing it imports numba."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from nightloop.tasks.kernels.compiler import compiled, inlined

SPREAD = np.uint64(0x9E3779B97F4A7C15)  # Knuth's multiplicative hashing: 2**64 / golden ratio


ONE, SIX_BITS = np.uint64(1), np.uint64(63)


@inlined
def _bits(user: Any, item: Any, size: Any, shift: Any) -> Any:
    """Number of a pair's word, and its two bits in it (a Bloom filter that reads one word: Putze et al. 2007)."""
    mixed = np.uint64(user * size + item) * SPREAD
    return mixed >> shift, ONE << (mixed >> np.uint64(20) & SIX_BITS) | ONE << (mixed >> np.uint64(26) & SIX_BITS)


class PairIndex(NamedTuple):
    """Known pairs of users and items."""

    size: int  # number of items
    starts: Any  # [U + 2] int64: `of_user[starts[u]:starts[u + 1]]` are the items of user u
    of_user: Any  # [n] int32
    bits: Any  # [2**k] uint64: two bits by hash for each pair
    shift: Any  # uint64: 64 - k


@compiled
def fill_lists(users: Any, items: Any, index: Any) -> None:
    """Put pairs (users, items) [n] int64 into the lists of an index whose `starts` is zero."""
    starts, of_user = index.starts, index.of_user
    for j in range(len(users)):
        starts[users[j] + 2] += 1
    for user in range(2, len(starts)):
        starts[user] += starts[user - 1]
    for j in range(len(users)):
        of_user[starts[users[j] + 1]] = items[j]
        starts[users[j] + 1] += 1


@compiled
def fill_bits(users: Any, items: Any, index: Any) -> None:
    """Set the bits of pairs (users, items) [n] int64."""
    for j in range(len(users)):
        word, own = _bits(users[j], items[j], index.size, index.shift)
        index.bits[word] |= own


@compiled
def find_known(users: Any, items: Any, index: Any, found: Any) -> int:
    """Write the positions of known pairs into `found` [n + 1] int64, in ascending order; returns how many there are."""
    size, starts, of_user, bits, shift = index
    possible = 0
    for j in range(len(users)):  # without a branch, so that reads of many bits are under way at the same time
        word, own = _bits(users[j], items[j], size, shift)
        found[possible] = j
        possible += np.int64(bits[word] & own == own)
    count = 0
    for number in range(possible):
        j = found[number]
        for place in range(starts[users[j]], starts[users[j] + 1]):
            if of_user[place] == items[j]:
                found[count] = j
                count += 1
                break
    return count
