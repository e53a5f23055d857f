"""Vectors: what a kernel does with whole rows of an array, in instructions that the compiler does not find by itself.

Importing this imports numba.
"""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba.core import cgutils, types
from numba.extending import intrinsic

from nightloop.tasks.kernels.compiler import inlined


@intrinsic
def prefetch(typing_context: Any, array: Any, row: Any, column: Any) -> Any:
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


def _dot_of(width: int) -> Any:
    """The sum of the products of row `i` and row `j` of two arrays, of so many columns, in a few vector instructions."""

    @intrinsic
    def product(typing_context: Any, left: Any, i: Any, right: Any, j: Any) -> Any:
        def emit(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            def read(array: int) -> Any:
                kind, vector = signature.args[array], ir.VectorType(ir.FloatType(), width)
                view = context.make_array(kind)(context, builder, arguments[array])
                first = [arguments[array + 1], context.get_constant(types.intp, 0)]
                place = cgutils.get_item_pointer(context, builder, kind, view, first, wraparound=False)
                return builder.load(builder.bitcast(place, vector.as_pointer()), align=4)

            number, count, values = ir.IntType(32), width, builder.fmul(read(0), read(2))
            while count > 4:
                count //= 2
                lower, upper = (
                    ir.Constant(ir.VectorType(number, count), list(range(first, first + count))) for first in (0, count)
                )
                values = builder.fadd(*(builder.shuffle_vector(values, values, half) for half in (lower, upper)))
            total = builder.extract_element(values, number(0))
            for x in range(1, 4):
                total = builder.fadd(total, builder.extract_element(values, number(x)))
            return total

        return types.float32(left, i, right, j), emit

    return product


_dot_16, _dot_32, _dot_64, _dot_128 = map(_dot_of, (16, 32, 64, 128))


@inlined
def dot(left: Any, i: Any, right: Any, j: Any, width: Any, work: Any) -> Any:
    """`portable_math.sum_columns` of the products of row `i` and row `j`, up to column `width`."""
    if width == 64:
        return _dot_64(left, i, right, j)
    if width == 32:
        return _dot_32(left, i, right, j)
    if width == 128:
        return _dot_128(left, i, right, j)
    if width == 16:
        return _dot_16(left, i, right, j)
    for x in range(width):
        work[x] = left[i, x] * right[j, x]
    while width > 4:
        half = (width + 1) // 2
        for x in range(width - half):
            work[x] += work[x + half]
        width = half
    total = work[0]
    for x in range(1, width):
        total += work[x]
    return total
