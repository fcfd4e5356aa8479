"""From text to Python's syntax tree, and from a piece of that tree back to its characters."""

from __future__ import annotations

import ast
from collections import deque

from quant_platform.contracts.errors import ExpressionError
from quant_platform.expressions.location import Formula

LONGEST_TEXT = 4_000
"""Characters of one expression; the longest that ships has less than two hundred."""

DEEPEST_TREE = 60
"""Calls and operations inside one another: what walks the tree does so by recursion, which Python bounds."""


def read(formula: Formula) -> ast.expr:
    """Python's syntax tree of an expression, before any of it is checked.

    Raises
    ------
    ExpressionError
        The text is empty, too long, nests too deep, is not well-formed, or holds a comment.
    """
    if len(formula.text) > LONGEST_TEXT:
        raise formula.error(
            f"the expression has {len(formula.text):,} characters, {LONGEST_TEXT:,} at most",
            action="give parts of it a name of their own under definitions",
        )
    if not formula.text.strip():
        raise formula.error("the expression was empty", action="write an expression, for example close/lag(close,1)-1")
    if "#" in formula.text:
        place = formula.text.index("#")
        raise formula.error("a comment was inside the expression", place, action="write it in the description")
    text, lead = _one_line(formula)
    try:
        tree = ast.parse(text, mode="eval").body
    except SyntaxError as error:
        start = min(lead + max(0, (error.offset or 1) - 1), len(formula.text) - 1)
        raise formula.error(
            f"the expression was not well-formed ({error.msg})",
            start,
            start + 1,
            action="close each bracket; use names, numbers, + - * /, comparisons, & | ~ and the declared primitives",
        ) from error
    except (RecursionError, MemoryError) as error:
        raise _too_deep(formula) from error
    except ValueError as error:
        raise formula.error(
            f"the expression could not be read ({error})", action="remove the character that is no letter or sign"
        ) from error
    if _depth(tree) > DEEPEST_TREE:
        raise _too_deep(formula)
    return tree


def _depth(tree: ast.expr) -> int:
    """How many pieces of a tree stand inside one another, found without recursion."""
    deepest = 0
    waiting: deque[tuple[ast.AST, int]] = deque([(tree, 1)])
    while waiting:
        node, depth = waiting.popleft()
        deepest = max(deepest, depth)
        waiting.extend((child, depth + 1) for child in ast.iter_child_nodes(node) if isinstance(child, ast.expr))
    return deepest


def _too_deep(formula: Formula) -> ExpressionError:
    return formula.error(
        f"the expression nests too deep, {DEEPEST_TREE} calls or operations inside one another at most",
        cause="a sum of very many terms nests too: each + holds the sum before it",
        action="give parts of it a name of their own under definitions",
    )


def names_in(formula: Formula) -> frozenset[str]:
    """Names an expression mentions that are neither its parameters nor functions it calls.

    Raises
    ------
    ExpressionError
        The text is not well-formed.
    """
    tree = read(formula)
    called = {id(node.func) for node in ast.walk(tree) if isinstance(node, ast.Call)}
    names = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name) and id(node) not in called}
    return frozenset(names - dict(formula.parameters).keys())


def span(formula: Formula, tree: ast.AST) -> tuple[int, int | None]:
    """First character of a piece of the tree and the one after its last."""
    # ast counts UTF-8 bytes, a person counts characters.
    text, lead = _one_line(formula)
    line = text.encode()
    start = lead + len(line[: getattr(tree, "col_offset", 0)].decode())
    end_byte = getattr(tree, "end_col_offset", None)
    return start, None if end_byte is None else lead + len(line[:end_byte].decode())


def _one_line(formula: Formula) -> tuple[str, int]:
    """The text as one line, so that YAML may break it anywhere, and the number of blanks taken off its front."""
    line = formula.text.replace("\n", " ")
    text = line.lstrip()
    return text, len(line) - len(text)
