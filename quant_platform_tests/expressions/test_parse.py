from __future__ import annotations

import pytest

from quant_platform.contracts.errors import ExpressionError
from quant_platform.expressions import Formula, Kind, Location, compile_plan
from quant_platform.expressions.nodes import Forest
from quant_platform.expressions.parse import Scope, parse

COLUMNS = {"close": Kind.NUMBER, "high": Kind.NUMBER, "settled": Kind.CONDITION}


def tree(text: str, **parameters: float) -> str:
    return str(parse(Formula(text, tuple(parameters.items())), Scope(COLUMNS), Forest()))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("close", "close"),
        ("-close", "neg(close)"),
        ("2*3+close/-4", "add(6.0,div(close,-4.0))"),
        ("lag(close)", "lag(close,1)"),
        ("lag(x=close,k=5)", "lag(close,5)"),
        ("phi(high,3)", "lag(hi(high,3),1)"),
        ("d(close,2)", "sub(close,lag(close,2))"),
        ("dlog(close,1)", "sub(log(close),lag(log(close),1))"),
        ("close>=high", "ge(close,high)"),
        ("1<close<2", "and(lt(1.0,close),lt(close,2.0))"),
        ("not close<high", "ge(close,high)"),
        ("~(settled|(close==1))", "and(not(settled),ne(close,1.0))"),
        ("~~settled", "settled"),
        ("settled and close>1 or settled", "or(and(settled,gt(close,1.0)),settled)"),
        ("run(settled)==2", "eq(run(settled,3),2.0)"),
        ("run(settled)>=2", "ge(run(settled,2),2.0)"),
        ("where(settled,1,-1)", "where(settled,1.0,-1.0)"),
        ("sma(close,\n    3)", "sma(close,3)"),
        ("  rank(close, 9)", "rank(order(close),9)"),
    ],
)
def test_text_becomes_this_tree(text: str, expected: str) -> None:
    assert tree(text) == expected


def test_a_parameter_may_stand_for_a_number_or_a_window() -> None:
    assert tree("pany(close<=tight,back)", tight=0.6, back=48) == "lag(anyn(le(close,0.6),48),1)"


def test_equal_parts_are_one_node() -> None:
    forest = Forest()
    scope = Scope(COLUMNS)
    first = parse("hi(close,5)/sma(close,5)", scope, forest)
    made = len(forest)
    assert parse("hi( close, 5 ) / sma(close, n=5)", scope, forest) is first
    assert len(forest) == made


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("lag(close,-1)", "was -1, which would read the future"),
        ("sma(close,-3)", "was -3, which would read the future"),
        ("dlog(close,-5)", "would read the future"),
        ("lag(close,1.5)", "must be a whole number that is written out"),
        ("lag(close,close)", "must be a whole number that is written out"),
        ("sma(close,0)", "write at least 1"),
        ("sd(close,1)", "write at least 2"),
        ("quantile(close,1.5,10)", "between 0 and 1"),
        ("quantile(close,high,10)", "between 0 and 1"),
        ("clse", "did you mean 'close'"),
        ("smaa(close,3)", "did you mean 'sma'"),
        ("sma(close,k=3)", "sma has no argument 'k'"),
        ("sma(close,3,n=3)", "'n' was given twice"),
        ("sma(close,3,4)", "takes 2 arguments and was given 3"),
        ("sma(*close)", "a star is not in the language"),
        ("sma(close)", "sma lacks n"),
        ("sma(close,bars)", "the name 'bars' is not known here"),
        ("sma", "'sma' is a function and was used as a name"),
        ("run(settled)", "run lacks cap"),
        ("run(settled)==close", "must be a whole number"),
        ("close.shift(-1)", "methods and attributes are not in the language"),
        ("close.x", "Attribute is not in the language"),
        ("close[1]", "brackets \\[\\] are not in the language"),
        ("close**2", "there is no power"),
        ("close%2", "BinOp is not in the language"),
        ("close//2", "BinOp is not in the language"),
        ("+close", "UnaryOp is not in the language"),
        ("'close'", "not text"),
        ("None", "not text"),
        ("1e999*close", "not text"),
        ("True", "True and False are not in the language"),
        ("lag(close,True)", "must be a whole number"),
        ("close if settled else high", "IfExp is not in the language"),
        ("[close]", "List is not in the language"),
        ("lambda: close", "Lambda is not in the language"),
        ("(x:=close)", "NamedExpr is not in the language"),
        ("close is high", "the comparison Is is not in the language"),
        ("close in high", "the comparison In is not in the language"),
        ("__import__('os')", "there is no primitive '__import__'"),
        ("close>1 & high>2", "bind tighter than comparisons"),
        ("settled+1", "a number is needed here and this is a condition"),
        ("sma(settled,3)", "a number is needed here and this is a condition"),
        ("anyn(close,3)", "a condition is needed here and this is a number"),
        ("where(close,1,2)", "a condition is needed here"),
        ("1>2", "the same on every bar"),
        ("1/0", "not a finite number"),
        ("", "the expression was empty"),
        ("close+", "not well-formed"),
        ("close) + (high", "not well-formed"),
        ("close # a note", "a comment was inside"),
        ("close; high", "not well-formed"),
    ],
)
def test_what_the_language_refuses(text: str, message: str) -> None:
    with pytest.raises(ExpressionError, match=message):
        tree(text)


def test_message_points_at_file_line_and_column() -> None:
    formula = Formula("sma(close,3)/sma(clse,3)", location=Location("specs/features/equity.yaml", 12, 17))
    with pytest.raises(ExpressionError) as caught:
        parse(formula, Scope(COLUMNS), Forest())
    assert str(caught.value) == (
        "expression_invalid: the name 'clse' is not known here\n"
        "  where: specs/features/equity.yaml:12:34\n"
        "    sma(close,3)/sma(clse,3)\n"
        "                     ^^^^\n"
        "  likely cause: a typing error, or a column or definition that is not declared\n"
        "  next: did you mean 'close'?"
    )


def test_message_points_into_the_right_line_of_a_long_expression() -> None:
    formula = Formula("sma(close,3)\n  / hgh", location=Location("f.yaml", 7, 9))
    with pytest.raises(ExpressionError) as caught:
        parse(formula, Scope(COLUMNS), Forest())
    assert caught.value.where == "f.yaml:8:5\n      / hgh\n        ^^^"


def test_circle_and_double_names_are_refused() -> None:
    with pytest.raises(ExpressionError, match=r"in a circle: (a -> b -> a|b -> a -> b)"):
        compile_plan({"a": "b+1", "b": "a+1"}, COLUMNS)
    with pytest.raises(ExpressionError, match="in a circle: a -> a"):
        compile_plan({"a": "lag(a,1)+1"}, COLUMNS)
    with pytest.raises(ExpressionError, match="'close' is already a column"):
        compile_plan({"close": "high+1"}, COLUMNS)
    with pytest.raises(ExpressionError, match="'a' was defined twice"):
        compile_plan({"a": "high"}, COLUMNS, {"a": "close"})
    with pytest.raises(ExpressionError, match="the parameter 'high' has the name"):
        compile_plan({"a": Formula("close>high", (("high", 1.0),))}, COLUMNS)


def test_a_faulty_definition_is_found_although_no_output_uses_it() -> None:
    with pytest.raises(ExpressionError, match="'nothing' is not known"):
        compile_plan({"a": "close"}, COLUMNS, {"unused": "nothing+1"})


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("lag(close,1e18)", "the lag 'k' was 1e\\+18 bars"),
        ("sma(close,1000000000000)", "the window 'n' was 1e\\+12 bars"),
        ("lag(close," + "9" * 400 + ")", "a whole number that is written out"),
        ("1" + "0" * 400 + "*close", "only finite numbers"),
        ("lag(close," + "9" * 3_000 + ")", "whole number"),
        ("lagmed(close,2000,2000)", "looks back 4,000,000 bars, 2,000,000 at most"),
        ("lag(lag(close,1500000),1500000)", "looks back 3,000,000 bars"),
        ("x" * 4_001, "has 4,001 characters, 4,000 at most"),
        ("abs(" * 61 + "close" + ")" * 61, "nests too deep"),
        ("-" * 3_900 + "close", "nests too deep"),
        ("+".join(["close"] * 500), "nests too deep"),
        ("(" * 199 + "close" + ")" * 198, "not well-formed"),
        ("(" * 1_900 + "close" + ")" * 1_900, "not well-formed"),
    ],
    ids=lambda value: value[:24],
)
def test_what_no_history_could_fill_is_refused(text: str, message: str) -> None:
    with pytest.raises(ExpressionError, match=message) as caught:
        tree(text)
    assert len(str(caught.value)) < 1_000


def test_the_longest_memory_and_the_deepest_tree_are_taken() -> None:
    assert tree("lag(close,2000000)") == "lag(close,2000000)"
    assert tree("abs(" * 59 + "close" + ")" * 59) == "abs(" * 59 + "close" + ")" * 59


def test_a_long_line_is_shown_around_the_place() -> None:
    text = "+".join(["close"] * 30) + "+clse+" + "+".join(["close"] * 20)
    with pytest.raises(ExpressionError) as caught:
        tree(text)
    _, line, caret, *_ = str(caught.value).split("\n  where: ")[1].split("\n")
    assert line.strip().startswith("...")
    assert line[caret.index("^") : caret.rindex("^") + 1] == "clse"
