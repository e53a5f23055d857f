"""Dot-product kernel: the training step of a dot-product model, compiled by numba. Importing it imports numba.

It does what `dot_product_step` does with Adagrad and L2, number by number: both give the same bytes, on any number of threads
and on every processor. It is several times as fast, because a step has no copies, no sorting and no temporary arrays.

Each row of the table belongs to one thread. A step has three phases. First each thread computes the gradients by the scores
of its users' pairs and the sums for its users. All threads wait for each other. Then each thread adds up the sums for its items,
in the order of the pairs, and moves an item at its last occurrence. All threads wait for each other again. Then each thread moves
its users, which no other thread reads before the next wait.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from llvmlite import ir
from numba.core import cgutils, types
from numba.extending import intrinsic

from nightloop.tasks.kernels import portable_math
from nightloop.tasks.kernels.compiler import compiled, inlined

F = np.float32
BCE, BPR, SOFTMAX = 0, 1, 2
AHEAD = 6  # pairs whose rows are fetched into the cache before they are needed; 4 to 8 are equally fast
LINE = 16  # numbers in a cache line
BLOCK = 4  # 2**4 rows in turn belong to the same thread: their numbers in `slots` and `squares` are one cache line
COEFFICIENTS = np.array(portable_math.COEFFICIENTS, dtype=np.float32)
POWERS = portable_math.powers_of_two().numpy()
LOG2_E, LN2_HIGH, LN2_LOW = F(portable_math.LOG2_E), F(portable_math.LN2_HIGH), F(portable_math.LN2_LOW)
LIMIT, ZERO, HALF, ONE, EPS = F(portable_math.LIMIT), F(0), F(0.5), F(1), F(portable_math.EPS)
POWER_ZERO = portable_math.POWER_ZERO

_wait = types.ExternalFunction("pthread_barrier_wait", types.int32(types.intp))


@intrinsic
def _prefetch(typing_context: Any, array: Any, row: Any, column: Any) -> Any:
    """Fetch the cache line of `array[row, column]`; nothing is read."""

    def emit(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        kind = signature.args[0]
        place = cgutils.get_item_pointer(
            context, builder, kind, context.make_array(kind)(context, builder, arguments[0]), list(arguments[1:]),
            wraparound=False,
        )  # fmt: skip
        pointer, number = ir.IntType(8).as_pointer(), ir.IntType(32)
        shape = ir.FunctionType(ir.VoidType(), [pointer, number, number, number])
        function = cgutils.get_or_insert_function(builder.module, shape, "llvm.prefetch.p0")
        options = [ir.Constant(number, value) for value in (0, 3, 1)]  # to read, to keep, data
        builder.call(function, [builder.bitcast(place, pointer), *options])
        return context.get_dummy_value()

    return types.void(array, row, column), emit


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
def _sum(values: Any, width: Any) -> Any:
    """`portable_math.sum_columns` of one row, which it changes."""
    while width > 4:
        half = (width + 1) // 2
        for x in range(width - half):
            values[x] += values[x + half]
        width = half
    total = values[0]
    for x in range(1, width):
        total += values[x]
    return total


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
    scores: Any  # [batch, 1 + K] float32; at the end those of the last batch
    gradient: Any  # [batch, 1 + K] float32


class OwnMemory(NamedTuple):
    """What only one thread writes to. m is at least the number of rows in a step."""

    sums: Any  # [m, w] float32
    rows: Any  # [m] int64: of users
    times: Any  # [m] int32: occurrences of the row in the batch
    left: Any  # [m] int32: those of an item that are still to come
    work: Any  # [w] float32


class ThreadNumber(NamedTuple):
    """One of the threads: its number, how many there are (a power of two), and the address of a barrier for all."""

    number: int
    members: int
    barrier: int


@inlined
def _move(table: Any, squares: Any, sums: Any, work: Any, place: Any, rates: Any) -> None:
    """Move a row of the table against its gradient, whose sum is in a slot. `place`: row and slot; `rates`: of learning and of L2."""
    row, slot = place
    lr, penalty = rates
    columns = table.shape[1]
    if penalty > ZERO:
        for x in range(columns):
            sums[slot, x] = sums[slot, x] + table[row, x] * penalty
    for x in range(columns):
        work[x] = sums[slot, x] * sums[slot, x]
    squares[row] += _sum(work, columns) * (ONE / F(columns))
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
    # Each access of an array through a tuple, and each slice, changes a counter of references that threads share.
    users, items = pairs
    batch, width, lr, l2, loss, shift, offset = settings
    slot_of, scores, gradient = shared
    sums, rows, times, left, work = own
    member, members, barrier = thread
    columns, entries, mask = table.shape[1], items.shape[1], members - 1
    for first in range(0, len(users), batch):
        last = min(first + batch, len(users))
        used = 0
        for j in range(first, last):
            if j + AHEAD < last and users[j + AHEAD] >> BLOCK & mask == member:
                for x in range(0, columns, LINE):
                    _prefetch(table, users[j + AHEAD], x)
                    for k in range(entries):
                        _prefetch(table, items[j + AHEAD, k], x)
            for k in range(entries):
                item = items[j, k]
                if item >= 0 and item >> BLOCK & mask == member:
                    slot_of[item] -= 1
            user = users[j]
            if user >> BLOCK & mask != member:
                continue
            row = j - first
            for k in range(entries):
                item = items[j, k]
                if item < 0:
                    scores[row, k] = ZERO
                    continue
                for x in range(width):
                    work[x] = table[user, x] * table[item, x]
                score = _sum(work, width)
                if columns > width:
                    score = score + table[user, width] + table[item, width]
                scores[row, k] = score if len(shift) == 0 else score - shift[item - offset]
            _to_gradient(loss, scores, gradient, items, (row, j))
            slot = np.int64(slot_of[user])
            if slot < 0:
                slot = np.int64(used)
                slot_of[user], rows[slot], times[slot] = slot, user, 0
                for x in range(columns):
                    sums[slot, x] = ZERO
                used += 1
            times[slot] += 1
            for k in range(entries):
                item = items[j, k]
                if item >= 0:
                    error = gradient[row, k]
                    for x in range(width):
                        sums[slot, x] += error * table[item, x]
                    if columns > width:
                        sums[slot, width] += error
        of_users = used
        if members > 1:
            _wait(barrier)
        for j in range(first, last):
            user = users[j]
            if j + AHEAD < last:
                for k in range(entries):
                    item = items[j + AHEAD, k]
                    if item >= 0 and item >> BLOCK & mask == member:
                        for x in range(0, columns, LINE):
                            _prefetch(table, users[j + AHEAD], x)
                            _prefetch(table, item, x)
            for k in range(entries):
                item = items[j, k]
                if item < 0 or item >> BLOCK & mask != member:
                    continue
                slot = np.int64(slot_of[item])
                if slot < 0:
                    count, slot = -1 - slot, np.int64(used)
                    times[slot], left[slot] = count, count
                    for x in range(columns):
                        sums[slot, x] = ZERO
                    if count > 1:
                        slot_of[item] = slot
                        used += 1
                error = gradient[j - first, k]
                for x in range(width):
                    sums[slot, x] += error * table[user, x]
                if columns > width:
                    sums[slot, width] += error
                left[slot] -= 1
                if left[slot] == 0:
                    _move(table, squares, sums, work, (item, slot), (lr, l2 * F(times[slot])))
                    slot_of[item] = -1
        if members > 1:
            _wait(barrier)
        for slot in range(of_users):
            _move(table, squares, sums, work, (rows[slot], slot), (lr, l2 * F(times[slot])))
            slot_of[rows[slot]] = -1
