"""The bits of a word of 64, for kernels: one instruction of the processor each.

Outside a kernel, and where kernels are not compiled, the plain Python of each function counts.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from numba import types
from numba.extending import intrinsic, overload

_WORD = 2**64 - 1


def first_bit(word: int) -> int:
    """Number of the lowest bit that is set, 0 to 63; one must be."""
    own = int(word) & _WORD
    return (own & -own).bit_length() - 1


def last_bit(word: int) -> int:
    """Number of the highest bit that is set, 0 to 63; one must be."""
    return (int(word) & _WORD).bit_length() - 1


def bit_count(word: int) -> int:
    """How many bits are set."""
    return (int(word) & _WORD).bit_count()


def _instruction(make: Callable[[Any, Any, Any], Any]) -> Any:
    """A function of one word that is the instruction which ``make`` asks of the compiler."""

    def typed(_context: Any, _word: Any) -> Any:
        def code(context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
            # True: the answer for zero may be any.
            return make(builder, arguments[0], context.get_constant(types.boolean, 1))

        return types.int64(types.int64), code

    return intrinsic(typed)


_trailing_zeros = _instruction(lambda builder, word, any_if_zero: builder.cttz(word, any_if_zero))
_leading_zeros = _instruction(lambda builder, word, any_if_zero: builder.ctlz(word, any_if_zero))
_ones = _instruction(lambda builder, word, _: builder.ctpop(word))

# What is called with the type of the word gives the function that is compiled in its place.
overload(first_bit)(lambda _word: lambda _word: _trailing_zeros(_word))
overload(last_bit)(lambda _word: lambda _word: 63 - _leading_zeros(_word))
overload(bit_count)(lambda _word: lambda _word: _ones(_word))
