"""Linear algebra in one thread: the same bits on every machine, and no thread that spins beside small matrices."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache, wraps
from typing import ParamSpec, TypeVar

from threadpoolctl import ThreadpoolController

P = ParamSpec("P")
Result = TypeVar("Result")


def in_one_thread(work: Callable[P, Result]) -> Callable[P, Result]:
    """Let the linear algebra of NumPy and SciPy run in one thread while a function works.

    Parameters
    ----------
    work
        A function whose matrices are small, or whose result must not depend on the machine.

    Notes
    -----
    BLAS shares a product out among as many threads as there are cores, so the order of its sums, and with it the last
    bit, is that of the machine. For matrices of some thousand rows the threads cost more than they save: a suite of
    500 names takes 0.9 processor seconds in one and 1.25 in two, and is done earlier.
    """

    @wraps(work)
    def alone(*args: P.args, **options: P.kwargs) -> Result:
        with _libraries().limit(limits=1, user_api="blas"):
            return work(*args, **options)

    return alone


@lru_cache(maxsize=1)
def _libraries() -> ThreadpoolController:
    """The libraries that this process has loaded, which take ten milliseconds to find."""
    # Without this the library of SciPy would be missed where nothing has used it yet.
    import scipy.linalg  # noqa: F401

    return ThreadpoolController()
