"""One typed door to numba, so that every kernel is compiled the same way and stays type-checked."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar, cast

import numba

F = TypeVar("F", bound=Callable[..., object])


def compiled(function: F) -> F:
    """Compile a kernel to machine code, cached on disk, with the GIL released while it runs.

    Fast-math stays off: kernels must treat NaN as missing and give the same bits everywhere.
    """
    return cast(F, numba.njit(cache=True, nogil=True)(function))
