"""What is compiled after installation is what a paper account calls."""

from __future__ import annotations

from typing import Any

from quant_platform.engine import kernel, trailing
from quant_platform.engine.warm import compile_kernels
from quant_platform_tests.labs.operations.test_book import FLAT, book, order


def test_a_paper_account_compiles_nothing_more() -> None:
    assert compile_kernels() == 1
    kernels: list[Any] = [kernel.simulate, trailing.trailing_mean, trailing.trailing_volatility]
    before = [len(one.signatures) for one in kernels]
    assert min(before) > 0
    book([order()], {"AAA": [FLAT, FLAT]})
    assert [len(one.signatures) for one in kernels] == before
