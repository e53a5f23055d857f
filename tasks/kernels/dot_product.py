"""Dot-product kernel: the training step of a dot-product model, compiled by numba. Importing it imports numba.

It does what `dot_product_step` does with Adagrad and L2, number by number: both give the same bytes, on any number of threads
and on every processor. It is several times as fast, because a step has no copies, no sorting and no temporary arrays.

Each row of the table belongs to one thread. A step has three phases. First each thread computes the gradients by the scores
of its users' pairs and the sums for its users. All threads wait for each other. Then each thread adds up the sums for its items,
in the order of the pairs, and moves an item at its last occurrence. All threads wait for each other again. Then each thread moves
its users, which no other thread reads before the next wait.

No two threads write to the same cache line: the memory of each begins with a line, and gradients are kept by the thread that
computed them. Threads that do so wait for each other at almost every number.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numba.core import types

from nightloop.tasks.kernels import portable_math
from nightloop.tasks.kernels.compiler import compiled, inlined
from nightloop.tasks.kernels.vectors import dot, prefetch

F = np.float32
BCE, BPR, SOFTMAX = 0, 1, 2
AHEAD = 6  # pairs whose rows are fetched into the cache before they are needed; 4 to 8 are equally fast
LINE = 16  # numbers in a cache line
BLOCK = 4  # 2**4 rows in turn belong to the same thread: their numbers in `slots` and `squares` are one cache line
ENTRY = 20  # bits of the number of an item among those of its pair
ENTRIES = (1 << ENTRY) - 1
COEFFICIENTS = np.array(portable_math.COEFFICIENTS, dtype=np.float32)
POWERS = portable_math.powers_of_two().numpy()
LOG2_E, LN2_HIGH, LN2_LOW = F(portable_math.LOG2_E), F(portable_math.LN2_HIGH), F(portable_math.LN2_LOW)
LIMIT, ZERO, HALF, ONE, EPS = F(portable_math.LIMIT), F(0), F(0.5), F(1), F(portable_math.EPS)
POWER_ZERO = portable_math.POWER_ZERO

_wait = types.ExternalFunction("pthread_barrier_wait", types.int32(types.intp))


@inlined
def _sigmoid(x: Any) -> Any:
    """`portable_math.sigmoid` of one number."""
    return ONE / (_exp(-x) + ONE)


@inlined
def _exp(x: Any) -> Any:
    """`portable_math.exp` of one number."""
    if x != x:
        return x
    x = min(max(x, -LIMIT), LIMIT)
    power = np.floor(x * LOG2_E + HALF)
    rest = x - power * LN2_HIGH
    rest = rest - power * LN2_LOW
    value = COEFFICIENTS[0]
    for number in range(1, len(COEFFICIENTS)):
        value = value * rest + COEFFICIENTS[number]
    value = value * rest * rest + rest + ONE
    return value * POWERS[np.int64(power) + POWER_ZERO]


@inlined
def _to_gradient(loss: Any, scores: Any, gradient: Any, items: Any, place: Any) -> None:
    """`RankingLoss.gradient` of one row of scores, at `place` (row of scores, row of items); an item below 0 does not count."""
    row, j = place
    count = scores.shape[1]
    if loss == BCE:
        for k in range(count):
            gradient[row, k] = _sigmoid(scores[row, k])
        gradient[row, 0] -= ONE
    elif loss == BPR:
        total = ZERO
        for k in range(1, count):
            gradient[row, k] = _sigmoid(scores[row, k] - scores[row, 0]) if items[j, k] >= 0 else ZERO
            total = total + gradient[row, k] if k > 1 else gradient[row, k]
        gradient[row, 0] = -total
    else:
        largest = scores[row, 0]
        for k in range(1, count):
            if items[j, k] >= 0 and scores[row, k] > largest:
                largest = scores[row, k]
        total = ZERO
        for k in range(count):
            gradient[row, k] = _exp(scores[row, k] - largest) if items[j, k] >= 0 else ZERO
            total = total + gradient[row, k] if k else gradient[row, k]
        total = ONE / total
        for k in range(count):
            gradient[row, k] *= total
        gradient[row, 0] -= ONE


class PairRows(NamedTuple):
    """Rows of the table in the order of training."""

    users: Any  # [n] int64
    items: Any  # [n, 1 + K] int64, the positive first; a negative below 0 does not count


class KernelSettings(NamedTuple):
    """What a step does."""

    batch: int  # pairs a step
    width: int  # columns that are multiplied
    lr: Any
    l2: Any
    loss: int
    shift: Any  # [I] float32 of items, or [0]
    offset: int  # of the items in the table


class SharedMemory(NamedTuple):
    """What all threads write to."""

    slots: Any  # [R] int32 of -1: where the sums of a row are kept; -1 - n before the first of n occurrences of an item
    scores: Any  # [threads * batch, 1 + K] float32; at the end those of the last batch, each in the part of its user's thread
    gradient: Any  # [threads * batch, 1 + K] float32


class OwnMemory(NamedTuple):
    """What only one thread writes to. m is at least the number of rows in a step."""

    sums: Any  # [m, w] float32
    rows: Any  # [m] int64: of users
    times: Any  # [m] int32: occurrences of the row in the batch
    left: Any  # [m] int32: those of an item that are still to come
    work: Any  # [w] float32
    pairs: Any  # [batch + 1] int64: pairs of its users
    entries: Any  # [batch * (1 + K) + 1] int64: pair and number of each of its items, in one number


class ThreadNumber(NamedTuple):
    """One of the threads: its number, how many there are (a power of two), and the address of a barrier for all."""

    number: int
    members: int
    barrier: int


@inlined
def _add(sums: Any, slot: Any, error: Any, table: Any, row: Any, width: Any, fresh: Any) -> None:
    """Add an error times the other row to a sum. `fresh`: the sum is zero, whatever is there."""
    if fresh:
        for x in range(width):
            sums[slot, x] = ZERO + error * table[row, x]  # not a negative zero
    else:
        for x in range(width):
            sums[slot, x] += error * table[row, x]
    if table.shape[1] > width:
        sums[slot, width] = ZERO + error if fresh else sums[slot, width] + error


@inlined
def _move(table: Any, squares: Any, sums: Any, work: Any, place: Any, rates: Any) -> None:
    """Move a row of the table against its gradient, whose sum is in a slot. `place`: row and slot; `rates`: of learning and of L2."""
    row, slot = place
    lr, penalty = rates
    columns = table.shape[1]
    if penalty > ZERO:
        for x in range(columns):
            sums[slot, x] = sums[slot, x] + table[row, x] * penalty
    squares[row] += dot(sums, slot, sums, slot, columns, work) * (ONE / F(columns))
    step = ONE / (np.sqrt(squares[row]) + EPS) * -lr
    for x in range(columns):
        table[row, x] += sums[slot, x] * step


@compiled
def train_batches(
    table: Any, squares: Any, pairs: Any, settings: Any, shared: Any, own: Any, thread: Any
) -> None:  # fmt: skip
    """All batches of `pairs` in order, the part of one thread.

    `table` [R, w] float32 and `squares` [R] float32, Adagrad's state, are changed in place.
    """
    users, items = pairs
    batch, width, lr, l2, loss, shift, offset = settings
    slot_of, scores, gradient = shared
    sums, rows, times, left, work, own_pairs, own_entries = own
    member, members, barrier = thread
    columns, entries, mask = table.shape[1], items.shape[1], members - 1
    for first in range(0, len(users), batch):
        last = min(first + batch, len(users))
        mine = others = 0
        for j in range(first, last):  # without branches, which would be guessed wrong half of the time
            own_pairs[mine] = j
            mine += np.int64(users[j] >> BLOCK & mask == member)
        for j in range(first, last):
            for k in range(entries):
                item = items[j, k]
                own_entries[others] = j << ENTRY | k
                others += np.int64((item >= 0) & (item >> BLOCK & mask == member))
        used = 0
        for number in range(mine):
            j = own_pairs[number]
            if number + AHEAD < mine:
                ahead = own_pairs[number + AHEAD]
                for x in range(0, columns, LINE):
                    prefetch(table, users[ahead], x)
                    for k in range(entries):
                        prefetch(table, items[ahead, k], x)
            user, row = users[j], member * batch + j - first
            for k in range(entries):
                item = items[j, k]
                if item < 0:
                    scores[row, k] = ZERO
                    continue
                score = dot(table, user, table, item, width, work)
                if columns > width:
                    score = score + table[user, width] + table[item, width]
                scores[row, k] = score if len(shift) == 0 else score - shift[item - offset]
            _to_gradient(loss, scores, gradient, items, (row, j))
            slot = np.int64(slot_of[user])
            fresh = slot < 0
            if fresh:
                slot = np.int64(used)
                slot_of[user], rows[slot], times[slot] = slot, user, 0
                used += 1
            times[slot] += 1
            for k in range(entries):
                item = items[j, k]
                if item >= 0:
                    _add(sums, slot, gradient[row, k], table, item, width, fresh)
                    fresh = False
        of_users = used
        for number in range(others):
            entry = own_entries[number]
            slot_of[items[entry >> ENTRY, entry & ENTRIES]] -= 1
        if members > 1:
            _wait(barrier)
        for number in range(others):
            entry = own_entries[number]
            j, k = entry >> ENTRY, entry & ENTRIES
            user, item = users[j], items[j, k]
            if number + AHEAD < others:
                ahead = own_entries[number + AHEAD]
                for x in range(0, columns, LINE):
                    prefetch(table, users[ahead >> ENTRY], x)
                    prefetch(table, items[ahead >> ENTRY, ahead & ENTRIES], x)
            slot, fresh = np.int64(slot_of[item]), False
            if slot < 0:
                count, slot = -1 - slot, np.int64(used)
                times[slot], left[slot], fresh = count, count, True
                if count > 1:
                    slot_of[item] = slot
                    used += 1
            _add(sums, slot, gradient[(user >> BLOCK & mask) * batch + j - first, k], table, user, width, fresh)
            left[slot] -= 1
            if left[slot] == 0:
                _move(table, squares, sums, work, (item, slot), (lr, l2 * F(times[slot])))
                slot_of[item] = -1
        if members > 1:
            _wait(barrier)
        for slot in range(of_users):
            _move(table, squares, sums, work, (rows[slot], slot), (lr, l2 * F(times[slot])))
            slot_of[rows[slot]] = -1
