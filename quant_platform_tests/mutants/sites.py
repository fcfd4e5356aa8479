"""Where a file can be made wrong in one place, and how: comparisons, arithmetic, constants, branches."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass

_COMPARISONS: dict[type[ast.cmpop], tuple[str, str]] = {
    ast.Lt: ("<", "<="),
    ast.LtE: ("<=", "<"),
    ast.Gt: (">", ">="),
    ast.GtE: (">=", ">"),
    ast.Eq: ("==", "!="),
    ast.NotEq: ("!=", "=="),
}
_ARITHMETIC: dict[type[ast.operator], tuple[str, str]] = {
    ast.Add: ("+", "-"),
    ast.Sub: ("-", "+"),
    ast.Mult: ("*", "/"),
    ast.Div: ("/", "*"),
    ast.FloorDiv: ("//", "/"),
    ast.BitAnd: ("&", "|"),
    ast.BitOr: ("|", "&"),
}


@dataclass(frozen=True)
class Mutant:
    """One change of one file.

    Attributes
    ----------
    path
        The file, below the package.
    line
        Where, from 1.
    kind
        What was changed.
    before, after
        The text of the place, then and now.
    source
        The whole changed file.
    """

    path: str
    line: int
    kind: str
    before: str
    after: str
    source: str

    @property
    def name(self) -> str:
        """A name that survives edits elsewhere in the file: the line as it was, and the change in it."""
        lines = self.source.splitlines()
        now = lines[self.line - 1].strip()
        return f"{self.path}: {self.before} -> {self.after} in: {now}"

    @property
    def statement(self) -> tuple[int, int]:
        """First and last line of the statement that holds the place; of one with a body, without the body."""
        found = (self.line, self.line)
        for node in ast.walk(ast.parse(self.source)):
            if isinstance(node, ast.stmt) and node.lineno <= self.line <= (node.end_lineno or node.lineno):
                body = getattr(node, "body", None)
                end = body[0].lineno - 1 if isinstance(body, list) and body else node.end_lineno or node.lineno
                if self.line <= end:
                    found = (node.lineno, max(end, node.lineno))
        return found


@dataclass(frozen=True)
class Trial:
    """What became of one mutant.

    Attributes
    ----------
    mutant
        The change.
    killed
        Whether a test failed, or did not end in time.
    reached
        How many tests reach its statement.
    seconds
        How long the trial took.
    timed_out
        Whether it is killed for its time alone.
    """

    mutant: Mutant
    killed: bool
    reached: int
    seconds: float
    timed_out: bool = False


def mutants(path: str, source: str) -> Iterator[Mutant]:
    """Every single change of a file; texts, annotations, decorators and error messages are left alone."""
    text = source.encode()
    starts = [0]
    for line in text.splitlines(keepends=True):
        starts.append(starts[-1] + len(line))

    def place(node: ast.expr) -> tuple[int, int]:
        end_line, end = node.end_lineno or node.lineno, node.end_col_offset or node.col_offset
        return starts[node.lineno - 1] + node.col_offset, starts[end_line - 1] + end

    def changed(node: ast.expr, kind: str, after: str) -> Mutant:
        begin, end = place(node)
        before = text[begin:end].decode()
        return Mutant(path, node.lineno, kind, before, after, (text[:begin] + after.encode() + text[end:]).decode())

    def between(node: ast.expr, left: ast.expr, right: ast.expr, kind: str, symbols: tuple[str, str]) -> Mutant | None:
        begin, end = place(node)
        gap_start, gap_end = place(left)[1], place(right)[0]
        gap = text[gap_start:gap_end].decode()
        if gap.count(symbols[0]) != 1:
            return None
        after = text[begin:gap_start].decode() + gap.replace(*symbols) + text[gap_end:end].decode()
        return changed(node, kind, after)

    tree = ast.parse(source)
    for node in _code(tree):
        if isinstance(node, ast.Compare) and len(node.ops) == 1 and type(node.ops[0]) in _COMPARISONS:
            found = between(node, node.left, node.comparators[0], "comparison", _COMPARISONS[type(node.ops[0])])
        elif isinstance(node, ast.BinOp) and type(node.op) in _ARITHMETIC:
            found = between(node, node.left, node.right, "arithmetic", _ARITHMETIC[type(node.op)])
        elif isinstance(node, ast.BoolOp) and len(node.values) == 2:
            words = ("and", "or") if isinstance(node.op, ast.And) else ("or", "and")
            found = between(node, node.values[0], node.values[1], "boolean", words)
        elif isinstance(node, ast.Constant):
            found = _constant(node, changed)
        elif isinstance(node, ast.IfExp):
            found = changed(node.test, "branch", f"(not ({ast.unparse(node.test)}))")
        else:
            found = None
        if found is not None:
            yield found
    for statement in ast.walk(tree):
        if isinstance(statement, ast.If | ast.While) and ast.unparse(statement.test) != "TYPE_CHECKING":
            yield changed(statement.test, "branch", f"(not ({ast.unparse(statement.test)}))")


def _constant(node: ast.Constant, changed: object) -> Mutant | None:
    make = changed
    assert callable(make)
    value = node.value
    if isinstance(value, bool):
        found = make(node, "constant", str(not value))
    elif isinstance(value, int):
        found = make(node, "constant", str(value + 1))
    elif isinstance(value, float):
        found = make(node, "constant", repr(value * 1.1 if value else 0.1))
    else:
        return None
    assert isinstance(found, Mutant)
    return found


def _code(tree: ast.Module) -> Iterator[ast.AST]:
    """Every node that decides a result: no annotation, no decorator, nothing inside a raise or an f-string."""
    waiting: list[ast.AST] = list(tree.body)
    while waiting:
        node = waiting.pop(0)
        if isinstance(node, ast.Raise | ast.JoinedStr | ast.Import | ast.ImportFrom):
            continue
        yield node
        left_out: list[ast.AST | None] = []
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            left_out = [*node.decorator_list, node.returns]
        elif isinstance(node, ast.ClassDef):
            left_out = list(node.decorator_list)
        elif isinstance(node, ast.arg | ast.AnnAssign):
            left_out = [node.annotation]
        waiting += [child for child in ast.iter_child_nodes(node) if child not in left_out]
