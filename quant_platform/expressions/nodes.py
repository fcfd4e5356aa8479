"""The tree of a checked expression: immutable nodes, each distinct sub-expression exactly once."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import StrEnum

Literal = int | float


class Kind(StrEnum):
    """What a sub-expression yields on each bar."""

    NUMBER = "number"
    CONDITION = "condition"


@dataclass(frozen=True, eq=False)
class Node:
    """One operation on earlier nodes.

    Nodes come from a :class:`Forest`, which never makes two equal ones, so identity is equality and hashing a deep
    tree costs nothing.

    Parameters
    ----------
    operation
        Name of a core primitive, or ``"column"`` or ``"constant"``.
    inputs
        Nodes this one reads.
    literals
        Windows, lags, probabilities, or the value of a constant.
    name
        Name of the column for ``"column"``, else empty.
    kind
        Number (float64, NaN is missing) or condition (bool, missing is false).
    """

    operation: str
    inputs: tuple[Node, ...]
    literals: tuple[Literal, ...]
    name: str
    kind: Kind

    def __str__(self) -> str:
        if self.operation == "column":
            return self.name
        if self.operation == "constant":
            return repr(self.literals[0])
        parts = [*map(str, self.inputs), *map(repr, self.literals)]
        return f"{self.operation}({','.join(parts)})"


class Forest:
    """Maker of nodes that returns the existing node when an equal one was made before (hash-consing)."""

    def __init__(self) -> None:
        self._made: dict[tuple[object, ...], Node] = {}

    def __len__(self) -> int:
        return len(self._made)

    def column(self, name: str, kind: Kind) -> Node:
        """Node that reads a column."""
        return self._node("column", (), (), name, kind)

    def constant(self, value: float) -> Node:
        """Node of the same number on every bar."""
        return self._node("constant", (), (float(value),), "", Kind.NUMBER)

    def operation(self, operation: str, inputs: Iterable[Node], literals: Iterable[Literal], kind: Kind) -> Node:
        """Node of a core primitive."""
        return self._node(operation, tuple(inputs), tuple(literals), "", kind)

    def _node(
        self, operation: str, inputs: tuple[Node, ...], literals: tuple[Literal, ...], name: str, kind: Kind
    ) -> Node:
        key = (operation, tuple(map(id, inputs)), literals, name, kind)
        node = self._made.get(key)
        if node is None:
            node = self._made[key] = Node(operation, inputs, literals, name, kind)
        return node


def topological_order(roots: Iterable[Node]) -> Iterator[Node]:
    """Every node that the roots need, inputs before the nodes that read them, each once."""
    done: set[Node] = set()
    stack: list[tuple[Node, bool]] = [(root, False) for root in reversed(list(roots))]
    while stack:
        node, inputs_done = stack.pop()
        if node in done:
            continue
        if inputs_done or not node.inputs:
            done.add(node)
            yield node
        else:
            stack.append((node, True))
            stack.extend((child, False) for child in reversed(node.inputs))


def columns_of(root: Node) -> frozenset[str]:
    """Names of the columns an expression reads."""
    return frozenset(node.name for node in topological_order([root]) if node.operation == "column")
