"""Expressions over the bars of many assets, each on its own bars."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from quant_platform.contracts.errors import SpecError
from quant_platform.engine.bars import PRICES, Bars
from quant_platform.engine.layout import Bools, Floats
from quant_platform.expressions import Formula, Kind, compile_plan

COLUMNS = (*PRICES, "volume")


def evaluate_on_bars(
    bars: Bars, outputs: Mapping[str, Formula | str], definitions: Mapping[str, Formula | str] | None = None
) -> dict[str, Floats | Bools]:
    """Compute expressions for every asset.

    Parameters
    ----------
    bars
        The market; expressions may name open, high, low, close and volume.
    outputs
        Name to expression.
    definitions
        Intermediate expressions.

    Returns
    -------
    dict
        Name to an array of the shape of the bars: numbers with NaN for missing, or booleans.

    Raises
    ------
    ExpressionError
        An expression is not valid.
    SpecError
        An expression needs volume and the bars have none.

    Notes
    -----
    **Timing.** A value of a bar depends on bars up to it. **Missing values.** A bar that an asset does not have counts
    in windows and lags as a missing one.
    """
    plan = compile_plan(outputs, dict.fromkeys(COLUMNS, Kind.NUMBER), definitions)
    if bars.volume is None and any("volume" in names for names in plan.columns.values()):
        raise SpecError(
            "an expression names volume and the bars have none",
            where=", ".join(name for name, names in plan.columns.items() if "volume" in names),
            action="give bars with a volume, or leave it out of the expression",
        )
    arrays = {name: getattr(bars, name) for name in COLUMNS if getattr(bars, name) is not None}
    found: dict[str, Floats | Bools] = {
        name: np.empty(bars.shape, dtype=np.bool_ if root.kind is Kind.CONDITION else np.float64)
        for name, root in plan.outputs.items()
    }
    for column in range(len(bars.assets)):
        own = plan.run({name: np.ascontiguousarray(array[:, column]) for name, array in arrays.items()})
        for name, values in own.values.items():
            found[name][:, column] = values
    return found
