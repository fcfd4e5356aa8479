"""Run the nodes of a plan over the columns of one instrument."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from quant_platform.contracts.errors import SchemaViolation
from quant_platform.expressions.nodes import Kind, Node, columns_of, topological_order
from quant_platform.expressions.operations import Conditions, Numbers, Ordering, Value, apply


@dataclass(frozen=True)
class Evaluation:
    """Results of a plan.

    Parameters
    ----------
    values
        Output name to array: float64 with NaN for missing, or bool.
    not_available
        Outputs that could not be computed, each with the columns that are absent. They are not in ``values``: an absent
        input is neither a zero nor a silence.
    """

    values: Mapping[str, Numbers | Conditions]
    not_available: Mapping[str, tuple[str, ...]]


def evaluate(
    outputs: Mapping[str, Node],
    kinds: Mapping[str, Kind],
    columns: Mapping[str, npt.NDArray[np.generic]],
    origin: int = 0,
    *,
    needs: Mapping[str, frozenset[str]] | None = None,
) -> Evaluation:
    """Compute named nodes; an intermediate is dropped as soon as its last reader is done.

    Parameters
    ----------
    outputs
        Name to root node.
    kinds
        What each column holds.
    columns
        Arrays of equal length, oldest bar first.
    origin
        Number of the first row, see :meth:`.plan.Plan.run`.
    needs
        The columns that each output reads, where they are known.

    Raises
    ------
    SchemaViolation
        Columns differ in length or type.
    """
    read = {name: columns_of(root) for name, root in outputs.items()} if needs is None else needs
    absent = {name: tuple(sorted(read[name] - columns.keys())) for name in outputs}
    roots = {name: root for name, root in outputs.items() if not absent[name]}
    rows = _row_count(columns)
    order, counted = _order(tuple(roots.values()))
    readers = dict(counted)
    values: dict[Node, Value] = {}
    for node in order:
        values[node] = _value(node, values, kinds, columns, rows, origin)
        for child in node.inputs:
            readers[child] -= 1
            if readers[child] == 0:
                del values[child]
    return Evaluation(
        {name: _array(values[root]) for name, root in roots.items()},
        {name: missing for name, missing in absent.items() if missing},
    )


@lru_cache(maxsize=16)
def _order(roots: tuple[Node, ...]) -> tuple[tuple[Node, ...], Mapping[Node, int]]:
    """Nodes of some roots, inputs first, and how many readers each has; one walk for all instruments of a plan."""
    order = tuple(topological_order(roots))
    readers = Counter(child for node in order for child in node.inputs)
    readers.update(roots)
    return order, readers


def _value(
    node: Node,
    values: Mapping[Node, Value],
    kinds: Mapping[str, Kind],
    columns: Mapping[str, npt.NDArray[np.generic]],
    rows: int,
    origin: int,
) -> Value:
    if node.operation == "constant":
        return np.full(rows, node.literals[0], dtype=np.float64)
    if node.operation == "column":
        return _column(node.name, kinds[node.name], columns[node.name])
    return apply(node.operation, [values[child] for child in node.inputs], node.literals, origin)


def _column(name: str, kind: Kind, values: npt.NDArray[np.generic]) -> Numbers | Conditions:
    is_condition = values.dtype == np.bool_
    if is_condition != (kind is Kind.CONDITION) or not np.issubdtype(
        values.dtype, np.bool_ if is_condition else np.number
    ):
        raise SchemaViolation(
            f"a {kind} was expected and the type was {values.dtype}",
            where=f"column {name}",
            action="give numbers as float64 and conditions as bool",
        )
    if is_condition:
        return np.array(values, dtype=np.bool_)
    numbers = np.array(values, dtype=np.float64)
    numbers[np.isinf(numbers)] = np.nan
    return numbers


def _row_count(columns: Mapping[str, npt.NDArray[np.generic]]) -> int:
    lengths = {name: values.shape for name, values in columns.items()}
    if any(len(shape) != 1 for shape in lengths.values()) or len(set(lengths.values())) > 1:
        raise SchemaViolation(
            "columns of one table had different shapes",
            where=", ".join(f"{name}: {shape}" for name, shape in lengths.items()),
            action="give one-dimensional arrays with one value per bar",
        )
    return next((values.size for values in columns.values()), 0)


def _array(value: Value) -> Numbers | Conditions:
    if isinstance(value, Ordering):
        raise AssertionError("ranks are an input of order statistics and never an output")
    return value
