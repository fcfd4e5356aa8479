"""Many named expressions as one plan: order of definition does not matter, common parts are computed once.

1. ``_definition_order`` sorts the formulas so that each comes after those it names; a circle is an error;
2. each is parsed into one forest, so equal sub-expressions are one node, also across formulas;
3. :class:`Plan` keeps the roots, the columns and the memory of each output, and runs them (:mod:`.evaluate`).
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from graphlib import CycleError, TopologicalSorter

import numpy as np
import numpy.typing as npt

from quant_platform.expressions.arrays import Arrays
from quant_platform.expressions.evaluate import Evaluation, Use, evaluate
from quant_platform.expressions.location import Formula
from quant_platform.expressions.memory import memory_bars
from quant_platform.expressions.nodes import Forest, Kind, Node, columns_of, topological_order
from quant_platform.expressions.parse import Scope, parse
from quant_platform.expressions.reading import names_in


@dataclass(frozen=True)
class Plan:
    """Checked expressions that are ready to run.

    Parameters
    ----------
    outputs
        Name to root node, in the order they were declared.
    kinds
        Columns the expressions were allowed to name, and what they hold.
    memory
        Name of an output to the bars before the current one that it depends on.
    columns
        Name of an output to the columns it reads.
    """

    outputs: Mapping[str, Node]
    kinds: Mapping[str, Kind]
    memory: Mapping[str, int]
    columns: Mapping[str, frozenset[str]]

    @property
    def memory_bars(self) -> int:
        """Bars before the first wanted one that every output together needs."""
        return max(self.memory.values(), default=0)

    def nodes(self) -> Iterator[Node]:
        """Every distinct operation of the plan, inputs first."""
        return topological_order(self.outputs.values())

    def run(
        self,
        columns: Mapping[str, npt.NDArray[np.generic]],
        wanted: Collection[str] | None = None,
        *,
        origin: int = 0,
        uses: Mapping[str, Use] | None = None,
        arrays: Arrays | None = None,
    ) -> Evaluation:
        """Compute the outputs over the bars of one instrument.

        Parameters
        ----------
        columns
            Arrays of equal length, oldest bar first, one row per bar of the grid: a bar without data is a row of NaN,
            not an absent row. Numbers are converted to float64 and infinite values to NaN; conditions must be bool.
        wanted
            Names of the outputs to compute and keep; all when None.
        origin
            Number of the first row, counted from a fixed point such as 1970. Sums round according to it, so that a
            value computed from a later start, with its full memory before it, has the same bits.
        uses
            What is made of outputs as soon as they are computed, wanted or not.
        arrays
            Where arrays are taken from, of as many rows as the columns, by a caller who needs some afterwards.

        Returns
        -------
        Evaluation
            Arrays by output name, and the outputs that were not available because a column is absent.

        Raises
        ------
        SchemaViolation
            Columns differ in length or have a type the plan cannot use.
        """
        names = self.outputs if wanted is None else wanted
        used = {name for use in (uses or {}).values() for name in use.outputs} - set(names)
        # In the order of the plan what belongs together is computed together.
        roots = {name: self.outputs[name] for name in (*names, *sorted(used))}
        if used:
            roots = {name: root for name, root in self.outputs.items() if name in roots}
        return evaluate(roots, self.kinds, columns, origin, needs=self.columns, kept=names, uses=uses, arrays=arrays)


def compile_plan(
    outputs: Mapping[str, Formula | str],
    columns: Mapping[str, Kind],
    definitions: Mapping[str, Formula | str] | None = None,
) -> Plan:
    """Check a set of expressions and make the plan that computes them together.

    Parameters
    ----------
    outputs
        Name to expression. An expression may name columns, definitions and other outputs, wherever they are declared.
    columns
        Columns that may be named. Naming one is no promise that each table has it.
    definitions
        Intermediate expressions that are only computed when an output needs them; they are checked in any case.

    Raises
    ------
    ExpressionError
        An expression is not valid, a name has two meanings, or expressions define each other in a circle.
    """
    formulas = {
        name: Formula(formula) if isinstance(formula, str) else formula
        for name, formula in {**(definitions or {}), **outputs}.items()
    }
    _refuse_double_names(formulas, outputs, definitions or {}, columns)
    forest = Forest()
    built: dict[str, Node] = {}
    for name in _definition_order(formulas):
        built[name] = parse(formulas[name], Scope(columns, built), forest)
    roots = {name: built[name] for name in outputs}
    memory = memory_bars(roots.values())
    return Plan(
        roots,
        dict(columns),
        {name: memory[root] for name, root in roots.items()},
        {name: columns_of(root) for name, root in roots.items()},
    )


def _refuse_double_names(
    formulas: Mapping[str, Formula],
    outputs: Mapping[str, object],
    definitions: Mapping[str, object],
    columns: Mapping[str, Kind],
) -> None:
    for name, formula in formulas.items():
        if name in columns:
            raise formula.error(f"{name!r} is already a column of the table", action="choose another name")
        if name in outputs and name in definitions:
            raise formula.error(f"{name!r} was defined twice", action="keep one of the two")
        for parameter, _ in formula.parameters:
            if parameter in columns or parameter in formulas:
                raise formula.error(
                    f"the parameter {parameter!r} has the name of a column or definition", action="rename the parameter"
                )


def _definition_order(formulas: Mapping[str, Formula]) -> list[str]:
    needs = {name: sorted(names_in(formula) & formulas.keys()) for name, formula in formulas.items()}
    try:
        return list(TopologicalSorter(needs).static_order())
    except CycleError as error:
        circle: list[str] = list(reversed(error.args[1]))
        formula = formulas[circle[0]]
        start = max(0, formula.text.find(circle[1]))
        raise formula.error(
            f"definitions go round in a circle: {' -> '.join(circle)}",
            start,
            start + len(circle[1]),
            action="break the circle; yesterday's value of a feature is lag(feature,1), never of itself",
        ) from error
