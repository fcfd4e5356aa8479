"""From text to a checked tree.

1. ``read`` lets Python's own parser build the syntax tree;
2. ``_Builder.build`` walks it and accepts names, numbers, ``+ - * /``, unary minus, comparisons, ``& | ~`` (also
   written ``and or not``) and calls of declared primitives; everything else is an error that points at its column;
3. calls are matched with their signature (``_Builder._call``), defined primitives are replaced by their expansion,
   and every node goes through the forest, which keeps equal ones once.

Kinds are checked on the way: arithmetic takes numbers, ``&`` takes conditions. ``close > low & volume > 0`` is
therefore an error and not, as in Python, a comparison with ``low & volume``.
"""

from __future__ import annotations

import ast
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from quant_platform.contracts.errors import ExpressionError
from quant_platform.expressions.location import Formula, closest
from quant_platform.expressions.memory import memory_bars
from quant_platform.expressions.nodes import Forest, Kind, Literal, Node
from quant_platform.expressions.operations import fold
from quant_platform.expressions.primitives import PRIMITIVES, Argument, ArgumentKind, Primitive
from quant_platform.expressions.reading import read, span

_ARITHMETIC: Mapping[type[ast.operator], str] = {
    ast.Add: "add",
    ast.Sub: "sub",
    ast.Mult: "mul",
    ast.Div: "div",
}
_LOGIC: Mapping[type[ast.operator], str] = {ast.BitAnd: "and", ast.BitOr: "or"}
_COMPARISON: Mapping[type[ast.cmpop], str] = {
    ast.Lt: "lt",
    ast.LtE: "le",
    ast.Gt: "gt",
    ast.GtE: "ge",
    ast.Eq: "eq",
    ast.NotEq: "ne",
}
_OPPOSITE: Mapping[str, str] = {"lt": "ge", "le": "gt", "gt": "le", "ge": "lt", "eq": "ne", "ne": "eq"}

LONGEST_MEMORY = 2_000_000
"""Bars an expression may look back: nineteen years of five-minute bars, a window that no history fills."""


@dataclass(frozen=True)
class Scope:
    """What the names in an expression may mean.

    Parameters
    ----------
    columns
        Columns of the table and whether they hold numbers or conditions.
    definitions
        Trees that were built before and may be used by name.
    """

    columns: Mapping[str, Kind]
    definitions: Mapping[str, Node] = field(default_factory=dict)


def parse(formula: Formula | str, scope: Scope, forest: Forest) -> Node:
    """Build and check the tree of one expression.

    Parameters
    ----------
    formula
        The text, with its parameters and place when they are known.
    scope
        Names it may use.
    forest
        Where nodes are kept; expressions built in the same forest share their common parts.

    Returns
    -------
    Node
        Root of the tree.

    Raises
    ------
    ExpressionError
        The text is not an expression of the language; the message shows where and, for a mistyped name, the nearest
        valid one.
    """
    written = Formula(formula) if isinstance(formula, str) else formula
    names: dict[str, Node | Literal] = {}
    names.update({name: forest.column(name, kind) for name, kind in scope.columns.items()})
    names.update(scope.definitions)
    names.update(dict(written.parameters))
    tree = read(written)
    builder = _Builder(written, names, forest)
    root = builder.build(tree)
    bars = memory_bars([root])[root]
    if bars > LONGEST_MEMORY:
        raise builder.fault(
            tree,
            f"the expression looks back {bars:,} bars, {LONGEST_MEMORY:,} at most",
            cause="windows and lags add up along an expression",
            action="write shorter windows",
        )
    return root


@dataclass(frozen=True)
class _Builder:
    formula: Formula
    names: Mapping[str, Node | Literal]
    forest: Forest

    def build(self, tree: ast.expr) -> Node:
        match tree:
            case ast.Constant(value=bool()):
                raise self.fault(tree, "True and False are not in the language", action="compare numbers instead")
            case ast.Constant(value=int() | float() as value) if _is_finite(value):
                return self.forest.constant(value)
            case ast.Constant():
                raise self.fault(tree, "only finite numbers may be written, not text", action="name a column")
            case ast.Name():
                return self._name(tree)
            case ast.UnaryOp(op=ast.USub()):
                return self._operation("neg", tree, [tree.operand], Kind.NUMBER)
            case ast.UnaryOp(op=ast.Invert() | ast.Not()):
                return self._negation(self.expect(tree.operand, Kind.CONDITION))
            case ast.BinOp(op=op) if type(op) in _ARITHMETIC:
                return self._operation(_ARITHMETIC[type(op)], tree, [tree.left, tree.right], Kind.NUMBER)
            case ast.BinOp(op=op) if type(op) in _LOGIC:
                return self._operation(_LOGIC[type(op)], tree, [tree.left, tree.right], Kind.CONDITION)
            case ast.BinOp(op=ast.Pow()):
                raise self.fault(tree, "there is no power in the language", action="write x*x or sqrt(x)")
            case ast.BoolOp():
                return self._all_or_any("and" if isinstance(tree.op, ast.And) else "or", tree.values)
            case ast.Compare():
                return self._comparison(tree)
            case ast.Call():
                return self._call(tree)
            case ast.Subscript():
                raise self.fault(tree, "brackets [] are not in the language", action="write lag(x,k) for the past")
            case _:
                raise self.fault(
                    tree,
                    f"{type(tree).__name__} is not in the language",
                    action="use names, numbers, + - * /, comparisons, & | ~ and the declared primitives",
                )

    def fault(self, tree: ast.AST, what: str, *, cause: str = "", action: str = "") -> ExpressionError:
        start, end = span(self.formula, tree)
        return self.formula.error(what, start, end, cause=cause, action=action)

    def _name(self, tree: ast.Name) -> Node:
        meaning = self.names.get(tree.id)
        if meaning is None:
            if tree.id in PRIMITIVES:
                call = PRIMITIVES[tree.id].signature
                raise self.fault(tree, f"{tree.id!r} is a function and was used as a name", action=f"write {call}")
            raise self.fault(
                tree,
                f"the name {tree.id!r} is not known here",
                cause="a typing error, or a column or definition that is not declared",
                action=closest(tree.id, self.names) or f"known names: {', '.join(sorted(self.names))}",
            )
        return meaning if isinstance(meaning, Node) else self.forest.constant(meaning)

    def expect(self, tree: ast.expr, kind: Kind) -> Node:
        node = self.build(tree)
        if node.kind is not kind:
            precedence = isinstance(tree, ast.BinOp) or kind is Kind.CONDITION
            raise self.fault(
                tree,
                f"a {kind} is needed here and this is a {node.kind}",
                cause="& and | bind tighter than comparisons" if precedence else "",
                action="put each comparison in parentheses: (a>b)&(c>d)"
                if kind is Kind.CONDITION
                else "turn the condition into a number with where(condition,1,0)",
            )
        return node

    def _operation(self, operation: str, tree: ast.expr, operands: list[ast.expr], kind: Kind) -> Node:
        inputs = [self.expect(operand, kind) for operand in operands]
        return self._node(operation, inputs, (), kind, tree)

    def _node(
        self, operation: str, inputs: list[Node], literals: tuple[Literal, ...], kind: Kind, tree: ast.AST
    ) -> Node:
        if inputs and all(node.operation == "constant" for node in inputs):
            if kind is Kind.CONDITION:
                raise self.fault(tree, "the condition was the same on every bar", action="compare with a column")
            value = fold(operation, [float(node.literals[0]) for node in inputs])
            if value is not None and not math.isfinite(value):
                raise self.fault(tree, "the constant was not a finite number")
            if value is not None:
                return self.forest.constant(value)
        return self.forest.operation(operation, inputs, literals, kind)

    def _negation(self, node: Node) -> Node:
        """The opposite condition; a comparison turns round, so that a missing value leaves it false."""
        make = self.forest.operation
        if node.operation in _OPPOSITE:
            return make(_OPPOSITE[node.operation], node.inputs, (), Kind.CONDITION)
        if node.operation in ("and", "or"):
            other = "or" if node.operation == "and" else "and"
            return make(other, map(self._negation, node.inputs), (), Kind.CONDITION)
        if node.operation == "not":
            return node.inputs[0]
        return make("not", [node], (), Kind.CONDITION)

    def _all_or_any(self, operation: str, operands: list[ast.expr]) -> Node:
        result, *others = [self.expect(operand, Kind.CONDITION) for operand in operands]
        for other in others:
            result = self.forest.operation(operation, [result, other], (), Kind.CONDITION)
        return result

    def _comparison(self, tree: ast.Compare) -> Node:
        if len(tree.ops) == 1 and isinstance(tree.left, ast.Call) and isinstance(tree.left.func, ast.Name):
            streak = self._streak(tree.left, tree.ops[0], tree.comparators[0])
            if streak is not None:
                right = self.expect(tree.comparators[0], Kind.NUMBER)
                return self._node(self._comparator(tree.ops[0], tree), [streak, right], (), Kind.CONDITION, tree)
        operands = [self.expect(operand, Kind.NUMBER) for operand in (tree.left, *tree.comparators)]
        pairs = [
            self._node(self._comparator(op, tree), [left, right], (), Kind.CONDITION, tree)
            for op, left, right in zip(tree.ops, operands, operands[1:], strict=False)
        ]
        result = pairs[0]
        for pair in pairs[1:]:
            result = self.forest.operation("and", [result, pair], (), Kind.CONDITION)
        return result

    def _comparator(self, op: ast.cmpop, tree: ast.AST) -> str:
        if type(op) not in _COMPARISON:
            raise self.fault(
                tree, f"the comparison {type(op).__name__} is not in the language", action="use < <= > >= == !="
            )
        return _COMPARISON[type(op)]

    def _streak(self, call: ast.Call, op: ast.cmpop, right: ast.expr) -> Node | None:
        """``run(c)==h`` needs h+1 bars and ``run(c)>=h`` needs h: the comparison gives the cap of its memory."""
        if not (isinstance(call.func, ast.Name) and call.func.id == "run"):
            return None
        if len(call.args) != 1 or call.keywords:
            return None
        length = self._whole(right, "the length a streak is compared with", least=1)
        cap = length if isinstance(op, ast.GtE | ast.Lt) else length + 1
        return self.forest.operation("run", [self.expect(call.args[0], Kind.CONDITION)], (cap,), Kind.NUMBER)

    def _call(self, tree: ast.Call) -> Node:
        if not isinstance(tree.func, ast.Name):
            raise self.fault(
                tree.func, "methods and attributes are not in the language", action="call a primitive by name"
            )
        primitive = PRIMITIVES.get(tree.func.id)
        if primitive is None:
            raise self.fault(
                tree.func,
                f"there is no primitive {tree.func.id!r}",
                action=closest(tree.func.id, PRIMITIVES) or f"primitives: {', '.join(sorted(PRIMITIVES))}",
            )
        given = self._match(tree, primitive)
        values = {argument.name: self._argument(argument, given.get(argument.name)) for argument in primitive.arguments}
        if primitive.expansion:
            return _Builder(Formula(primitive.expansion), values, self.forest).build(read(Formula(primitive.expansion)))
        inputs = [value for value in values.values() if isinstance(value, Node)]
        literals = tuple(value for value in values.values() if not isinstance(value, Node))
        if primitive.ordered:
            inputs = [self.forest.operation("order", inputs, (), Kind.NUMBER)]
        return self._node(primitive.name, inputs, literals, primitive.kind or inputs[0].kind, tree)

    def _match(self, tree: ast.Call, primitive: Primitive) -> dict[str, ast.expr]:
        names = [argument.name for argument in primitive.arguments]
        needed = [argument.name for argument in primitive.arguments if argument.default is None]
        if len(tree.args) > len(names):
            raise self.fault(
                tree,
                f"{primitive.name} takes {len(names)} arguments and was given {len(tree.args)}",
                action=f"write {primitive.signature}",
            )
        for argument in tree.args:
            if isinstance(argument, ast.Starred):
                raise self.fault(argument, "a star is not in the language", action=f"write {primitive.signature}")
        given = dict(zip(names, tree.args, strict=False))
        for keyword in tree.keywords:
            if keyword.arg is None or keyword.arg not in names:
                raise self.fault(
                    keyword.value,
                    f"{primitive.name} has no argument {keyword.arg!r}",
                    action=closest(keyword.arg or "", names) or f"write {primitive.signature}",
                )
            if keyword.arg in given:
                raise self.fault(
                    keyword.value, f"{keyword.arg!r} was given twice", action=f"write {primitive.signature}"
                )
            given[keyword.arg] = keyword.value
        missing = [name for name in needed if name not in given]
        if missing:
            cause = ""
            if primitive.name == "run":
                cause = (
                    "a streak without a cap looks back for ever; only run(c) compared with a written number needs none"
                )
            raise self.fault(
                tree, f"{primitive.name} lacks {', '.join(missing)}", cause=cause, action=f"write {primitive.signature}"
            )
        return given

    def _argument(self, argument: Argument, tree: ast.expr | None) -> Node | Literal:
        if tree is None:
            # _match let only arguments with a default be left out.
            return argument.default if argument.default is not None else 0
        readers: Mapping[ArgumentKind, Callable[[ast.expr], Node | Literal]] = {
            ArgumentKind.NUMBER: lambda t: self.expect(t, Kind.NUMBER),
            ArgumentKind.CONDITION: lambda t: self.expect(t, Kind.CONDITION),
            ArgumentKind.EITHER: self.build,
            ArgumentKind.WINDOW: lambda t: self._whole(
                t, f"the window {argument.name!r}", least=max(1, argument.least)
            ),
            ArgumentKind.LAG: lambda t: self._whole(t, f"the lag {argument.name!r}", least=0),
            ArgumentKind.PROBABILITY: self._probability,
        }
        return readers[argument.kind](tree)

    def _literal(self, tree: ast.expr) -> Literal | None:
        match tree:
            case ast.Constant(value=bool()):
                return None
            case ast.Constant(value=int() | float() as value):
                return value
            case ast.UnaryOp(op=ast.USub()):
                operand = self._literal(tree.operand)
                return None if operand is None else -operand
            case ast.Name():
                meaning = self.names.get(tree.id)
                return None if meaning is None or isinstance(meaning, Node) else meaning
            case _:
                return None

    def _whole(self, tree: ast.expr, role: str, least: int) -> int:
        if isinstance(tree, ast.Name) and tree.id not in self.names:
            self._name(tree)
        value = self._literal(tree)
        if value is None or not _is_finite(value) or value != int(value):
            raise self.fault(
                tree,
                f"{role} must be a whole number that is written out",
                cause="the memory of an expression has to be known before any data are read",
                action="write an integer, or name a parameter that is one",
            )
        if value < 0:
            raise self.fault(
                tree,
                f"{role} was {value:.6g}, which would read the future",
                cause="windows and lags count bars into the past",
                action="write a positive number; a forward return belongs in a label, not in a feature",
            )
        if value < least:
            raise self.fault(tree, f"{role} was {int(value)}", action=f"write at least {least}")
        if value > LONGEST_MEMORY:
            raise self.fault(tree, f"{role} was {value:.6g} bars", action=f"write at most {LONGEST_MEMORY}")
        return int(value)

    def _probability(self, tree: ast.expr) -> float:
        value = self._literal(tree)
        if value is None or not 0 <= value <= 1:
            raise self.fault(tree, "a probability must be a number between 0 and 1 that is written out")
        return float(value)


def _is_finite(value: float) -> bool:
    try:
        return math.isfinite(value)
    except OverflowError:  # a whole number beyond the largest float
        return False
