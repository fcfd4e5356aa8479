"""Expressions over a polars frame instead of arrays."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from itertools import accumulate, pairwise
from typing import cast

import numpy as np
import numpy.typing as npt
import polars as pl

from quant_platform.contracts.columns import floats_of
from quant_platform.contracts.errors import SchemaViolation
from quant_platform.expressions.arrays import Arrays
from quant_platform.expressions.nodes import Kind
from quant_platform.expressions.plan import Plan


def evaluate_frame(
    plan: Plan, frame: pl.DataFrame, wanted: Collection[str] | None = None
) -> tuple[pl.DataFrame, Mapping[str, tuple[str, ...]]]:
    """Run a plan over the bars of one instrument, sorted by time.

    Parameters
    ----------
    plan
        Compiled expressions.
    frame
        One row per bar of the grid, oldest first. A null number is missing, a null condition is false.
    wanted
        Names of the outputs to compute; all when None.

    Returns
    -------
    tuple
        A frame with one column per output in their order, Float64 (null where missing) or Boolean, and the outputs that
        are not available with the columns they lack. The latter are columns of nulls, so that the schema does not
        depend on the data.

    Raises
    ------
    SchemaViolation
        A column has a type the plan cannot use.
    """
    outputs = list(plan.outputs) if wanted is None else list(wanted)
    needed = frozenset[str]().union(*(plan.columns[name] for name in outputs)) & set(frame.columns)
    # An unnamed column carries the number of rows when no other one is needed.
    arrays = {"": np.empty(frame.height), **{name: _array(frame[name], plan.kinds[name]) for name in sorted(needed)}}
    evaluation = plan.run(arrays, outputs)
    series = [_series(name, plan.outputs[name].kind, evaluation.values.get(name), frame.height) for name in outputs]
    return pl.DataFrame(series), evaluation.not_available


def evaluate_stacked(
    plan: Plan, frame: pl.DataFrame, lengths: Sequence[int]
) -> Mapping[str, npt.NDArray[np.float64] | npt.NDArray[np.bool_]]:
    """Run a plan over the bars of many instruments that stand one below the other; each sees its own bars only.

    Parameters
    ----------
    plan
        Compiled expressions.
    frame
        As in :func:`evaluate_frame`, the bars of every instrument in one piece.
    lengths
        Bars of each instrument, in their order; they add up to the rows of the frame.

    Returns
    -------
    mapping
        Output name to one value per row: float64 with NaN for missing, or bool with False. One that is not available
        is missing throughout.

    Raises
    ------
    SchemaViolation
        A column has a type the plan cannot use.

    Notes
    -----
    Columns are converted once, and not once per instrument, which costs far more than most plans.
    """
    needed = frozenset[str]().union(*plan.columns.values()) & set(frame.columns)
    arrays = {"": np.empty(frame.height), **{name: _array(frame[name], plan.kinds[name]) for name in sorted(needed)}}
    found = {
        name: np.zeros(frame.height, dtype=np.bool_) if root.kind is Kind.CONDITION else np.full(frame.height, np.nan)
        for name, root in plan.outputs.items()
    }
    # Most instruments have as many bars as others: what one was computed in, the next one is computed in.
    used: dict[int, Arrays] = {}
    for first, end in pairwise(accumulate(lengths, initial=0)):
        space = used.setdefault(end - first, Arrays(end - first))
        evaluation = plan.run({name: values[first:end] for name, values in arrays.items()}, arrays=space)
        for name, values in evaluation.values.items():
            found[name][first:end] = values
        # Two names may stand for one array; one that is its own base was made elsewhere.
        for values in {id(values): values for values in evaluation.values.values()}.values():
            if values.dtype == np.float64 and values.base is not None:
                space.give(cast(npt.NDArray[np.float64], values))
    return found


def _array(series: pl.Series, kind: Kind) -> npt.NDArray[np.generic]:
    if kind is Kind.CONDITION and series.dtype == pl.Boolean:
        return np.asarray(series.fill_null(False).to_numpy())
    if kind is Kind.CONDITION or not (series.dtype.is_numeric() or series.dtype == pl.Null):
        raise SchemaViolation(
            f"a {kind} was expected and the type was {series.dtype}",
            where=f"column {series.name}",
            action="give numbers as a numeric type and conditions as Boolean",
        )
    return floats_of(series)


def _series(name: str, kind: Kind, values: npt.NDArray[np.generic] | None, rows: int) -> pl.Series:
    dtype = pl.Boolean if kind is Kind.CONDITION else pl.Float64
    if values is None:
        return pl.Series(name, [None] * rows, dtype=dtype)
    return pl.Series(name, values, dtype=dtype, nan_to_null=kind is Kind.NUMBER)
