"""A data platform for quantitative research: a Dagster asset graph over a DuckDB-queryable Parquet lake.

``import quant_platform as qp`` is the door for notebooks: see :data:`PUBLIC`. The libraries behind a name are loaded
when it is first used, so that the import itself costs nothing.
"""

from importlib import import_module as _import_module
from typing import Any as _Any

__version__ = "0.1.0"

PUBLIC = {
    "open": "quant_platform.notebook.home:open_home",
    "Home": "quant_platform.notebook.home:Home",
    "validate_signal": "quant_platform.notebook.calls:validate_signal",
    "run_backtest": "quant_platform.notebook.calls:run_backtest",
    "run_suite": "quant_platform.notebook.calls:run_suite",
    "information_coefficient": "quant_platform.notebook.coefficients:information_coefficient",
    "backtest": "quant_platform.notebook.trades:backtest",
    "BacktestConfig": "quant_platform.specification.suite:BacktestConfig",
}
"""What a notebook calls, and where each name lives. A name that stands here keeps its meaning."""


def __getattr__(name: str) -> _Any:
    """Load a public name on its first use."""
    if name not in PUBLIC:
        raise AttributeError(f"module 'quant_platform' has no attribute {name!r}")
    module, _, attribute = PUBLIC[name].partition(":")
    return getattr(_import_module(module), attribute)


def __dir__() -> list[str]:
    """Every public name, whether it was used or not."""
    return sorted([*globals(), *PUBLIC])
