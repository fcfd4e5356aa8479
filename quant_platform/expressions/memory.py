"""How far back a value looks, derived from its tree."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from quant_platform.expressions.nodes import Node, topological_order
from quant_platform.expressions.primitives import PRIMITIVES


def memory_bars(roots: Iterable[Node]) -> Mapping[Node, int]:
    """Bars before the current one that each node of the trees depends on.

    Parameters
    ----------
    roots
        Trees to measure.

    Returns
    -------
    Mapping
        Node to number of bars. Given ``memory`` earlier rows and the current one, the value of the current bar is the
        value on the full history: exactly for order statistics, to about 1e-12 of the window's magnitude for sums and
        moments.
    """
    memory: dict[Node, int] = {}
    for node in topological_order(roots):
        primitive = PRIMITIVES.get(node.operation)
        own = primitive.memory(node.literals) if primitive else 0
        memory[node] = own + max((memory[child] for child in node.inputs), default=0)
    return memory
