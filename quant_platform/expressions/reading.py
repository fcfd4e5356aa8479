"""From text to Python's syntax tree, and from a piece of that tree back to its characters."""

from __future__ import annotations

import ast

from quant_platform.expressions.location import Formula


def read(formula: Formula) -> ast.expr:
    """Python's syntax tree of an expression, before any of it is checked.

    Raises
    ------
    ExpressionError
        The text is empty, not well-formed, or holds a comment.
    """
    if not formula.text.strip():
        raise formula.error("the expression was empty", action="write an expression, for example close/lag(close,1)-1")
    if "#" in formula.text:
        place = formula.text.index("#")
        raise formula.error("a comment was inside the expression", place, action="write it in the description")
    text, lead = _one_line(formula)
    try:
        return ast.parse(text, mode="eval").body
    except SyntaxError as error:
        start = min(lead + max(0, (error.offset or 1) - 1), len(formula.text) - 1)
        raise formula.error(f"the expression was not well-formed ({error.msg})", start, start + 1) from error
    except (ValueError, RecursionError, MemoryError) as error:
        raise formula.error(f"the expression could not be read ({error})") from error


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
