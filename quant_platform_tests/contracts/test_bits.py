"""Bits of words, as plain Python and as instructions, against words written down here."""

from __future__ import annotations

import numba
import numpy as np
import pytest

from quant_platform.contracts.bits import bit_count, first_bit, last_bit


@numba.njit
def compiled(word: int) -> tuple[int, int, int]:
    return first_bit(word), last_bit(word), bit_count(word)


@pytest.mark.parametrize(
    ("word", "expected"),
    [
        (1, (0, 0, 1)),
        (0b1011000, (3, 6, 3)),
        (1 << 62, (62, 62, 1)),
        (-1, (0, 63, 64)),
        (-(1 << 63), (63, 63, 1)),
        (-(1 << 63) | 4, (2, 63, 2)),
    ],
)
def test_bits_of_a_word(word: int, expected: tuple[int, int, int]) -> None:
    assert (first_bit(word), last_bit(word), bit_count(word)) == expected
    assert compiled(np.int64(word)) == expected
