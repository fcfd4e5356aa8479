"""Run the nodes of a plan over the columns of one instrument.

1. ``_order`` puts the nodes in order, inputs first, and counts the readers of each;
2. ``_value`` computes node after node into arrays of :class:`.arrays.Arrays`;
3. after each node, what its :class:`Use` makes of it is made, and arrays without a reader left are given back: that
   of an input of which the result is a view when the view is no longer read;
4. what is left are the outputs that are kept.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, cast

import numpy as np
import numpy.typing as npt

from quant_platform.contracts.errors import SchemaViolation
from quant_platform.expressions.arrays import Arrays
from quant_platform.expressions.kernels import drop_infinite
from quant_platform.expressions.nodes import Kind, Node, columns_of, topological_order
from quant_platform.expressions.operations import Conditions, Numbers, Ordering, Value, apply


@dataclass(frozen=True)
class Use:
    """What is made of some outputs as soon as the last of them is computed, so that they need not be kept.

    Parameters
    ----------
    outputs
        Their names.
    make
        Called with their arrays in this order. It must neither change nor keep them.
    """

    outputs: tuple[str, ...]
    make: Callable[..., Any]


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
    made
        What each use made of its outputs; a use of an output that is not available is absent.
    """

    values: Mapping[str, Numbers | Conditions]
    not_available: Mapping[str, tuple[str, ...]]
    made: Mapping[str, Any] = field(default_factory=dict)


def evaluate(
    outputs: Mapping[str, Node],
    kinds: Mapping[str, Kind],
    columns: Mapping[str, npt.NDArray[np.generic]],
    origin: int = 0,
    *,
    needs: Mapping[str, frozenset[str]] | None = None,
    kept: Collection[str] | None = None,
    uses: Mapping[str, Use] | None = None,
    arrays: Arrays | None = None,
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
    kept
        Outputs whose values are a part of the result; all when None.
    uses
        What is made of outputs, by any name.
    arrays
        Where arrays are taken from, of as many rows as the columns; new ones when None.

    Raises
    ------
    SchemaViolation
        Columns differ in length or type.
    """
    read = {name: columns_of(root) for name, root in outputs.items()} if needs is None else needs
    absent = {name: tuple(sorted(read[name] - columns.keys())) for name in outputs}
    roots = {name: root for name, root in outputs.items() if not absent[name]}
    order, counted = _order(tuple(roots.values()))
    pending = _Pending(roots, {} if uses is None else uses)
    readers = Counter(counted)
    readers.update(pending.readers)
    readers.update(root for name, root in roots.items() if kept is None or name in kept)
    arrays = Arrays(_row_count(columns)) if arrays is None else arrays
    values: dict[Node, Value] = {}
    for node in order:
        values[node] = _value(node, values, kinds, columns, origin, arrays)
        done = [*pending.make_with(node, values), *(() if _is_view(node, values[node]) else node.inputs)]
        while done:
            child = done.pop()
            readers[child] -= 1
            if readers[child] == 0:
                value = values.pop(child)
                done += child.inputs if _is_view(child, value) else ()
                _give_back(value, arrays)
    return Evaluation(
        {name: _array(values[root]) for name, root in roots.items() if kept is None or name in kept},
        {name: missing for name, missing in absent.items() if missing},
        pending.made,
    )


class _Pending:
    """Uses that wait for their outputs."""

    def __init__(self, roots: Mapping[str, Node], uses: Mapping[str, Use]) -> None:
        self.made: dict[str, Any] = {}
        self._nodes = {
            name: tuple(roots[output] for output in use.outputs)
            for name, use in uses.items()
            if all(output in roots for output in use.outputs)
        }
        self._uses = uses
        self._missing = {name: set(nodes) for name, nodes in self._nodes.items()}
        self._waiting: dict[Node, list[str]] = {}
        for name, nodes in self._missing.items():
            for node in nodes:
                self._waiting.setdefault(node, []).append(name)
        self.readers = Counter(node for nodes in self._nodes.values() for node in nodes)

    def make_with(self, node: Node, values: Mapping[Node, Value]) -> list[Node]:
        """Make what waited for a node alone; the nodes that were read."""
        read: list[Node] = []
        for name in self._waiting.pop(node, ()):
            self._missing[name].discard(node)
            if not self._missing[name]:
                nodes = self._nodes[name]
                self.made[name] = self._uses[name].make(*(_array(values[each]) for each in nodes))
                read += nodes
        return read


@lru_cache(maxsize=16)
def _order(roots: tuple[Node, ...]) -> tuple[tuple[Node, ...], Mapping[Node, int]]:
    """Nodes of some roots, inputs first, and how many nodes read each; one walk for all instruments of a plan."""
    order = tuple(topological_order(roots))
    return order, Counter(child for node in order for child in node.inputs)


def _value(
    node: Node,
    values: Mapping[Node, Value],
    kinds: Mapping[str, Kind],
    columns: Mapping[str, npt.NDArray[np.generic]],
    origin: int,
    arrays: Arrays,
) -> Value:
    if node.operation == "constant":
        return np.broadcast_to(np.float64(node.literals[0]), (arrays.rows,))
    if node.operation == "column":
        return _column(node.name, kinds[node.name], columns[node.name], arrays)
    return apply(node.operation, [values[child] for child in node.inputs], node.literals, origin, arrays)


def _is_view(node: Node, value: Value) -> bool:
    """Whether a value is a part of the array of its input."""
    return node.operation == "lag" and not isinstance(value, Ordering) and not value.flags.writeable


def _give_back(value: Value, arrays: Arrays) -> None:
    if isinstance(value, Ordering):
        for taken in value.taken:
            arrays.give(taken)
    elif value.dtype != np.bool_:
        arrays.give(cast(Numbers, value))


def _column(name: str, kind: Kind, values: npt.NDArray[np.generic], arrays: Arrays) -> Numbers | Conditions:
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
    numbers = arrays.take()
    np.copyto(numbers, values, casting="unsafe")
    return drop_infinite(numbers)


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
    # A number that is the same on every bar was repeated and not written out.
    return value if value.flags.writeable else value.copy()
