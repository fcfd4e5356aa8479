"""The collector waits for the end of a block, and runs again after it."""

from __future__ import annotations

import gc

import pytest

from quant_platform.contracts.collecting import collected_afterwards


def test_the_collector_waits_until_the_block_ends_and_runs_after_it_whatever_happened() -> None:
    assert gc.isenabled()
    with collected_afterwards():
        assert not gc.isenabled()
        with collected_afterwards():
            assert not gc.isenabled()
        assert not gc.isenabled()
    assert gc.isenabled()
    with pytest.raises(ValueError, match="inside"), collected_afterwards():
        raise ValueError("inside")
    assert gc.isenabled()


def test_a_collector_that_was_stopped_stays_stopped() -> None:
    gc.disable()
    try:
        with collected_afterwards():
            pass
        assert not gc.isenabled()
    finally:
        gc.enable()
