"""Linear algebra in one thread while a function works, and as before when it is done."""

from __future__ import annotations

import pytest
import scipy.linalg  # noqa: F401
from threadpoolctl import threadpool_info, threadpool_limits

from quant_platform.statistics.one_thread import in_one_thread


def threads() -> set[int]:
    return {library["num_threads"] for library in threadpool_info() if library["user_api"] == "blas"}


@in_one_thread
def inside(fail: bool = False) -> set[int]:
    if fail:
        raise ValueError("no")
    return threads() | in_one_thread(threads)() | threads()


def test_every_library_has_one_thread_inside_and_what_it_had_before_after() -> None:
    with threadpool_limits(limits=2, user_api="blas"):
        before = threads()
        assert inside() == {1}
        assert threads() == before
        with pytest.raises(ValueError, match="no"):
            inside(fail=True)
        assert threads() == before
