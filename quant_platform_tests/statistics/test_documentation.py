from __future__ import annotations

import doctest
import importlib
import pkgutil

import pytest

from quant_platform import statistics

MODULES = [f"quant_platform.statistics.{module.name}" for module in pkgutil.iter_modules(statistics.__path__)]


@pytest.mark.parametrize("name", MODULES)
def test_examples_in_the_docstrings_run(name):
    assert doctest.testmod(importlib.import_module(name)).failed == 0


def test_every_public_name_is_documented():
    bare = [name for name in statistics.__all__ if not (getattr(statistics, name).__doc__ or "").strip()]
    assert bare == []
