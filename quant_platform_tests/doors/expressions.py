"""Expressions that mean nothing, see the future, or were made to harm; each as the expression of a feature."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence

from quant_platform_tests.doors.trial import Input, Place

FILE = "features/equity.yaml"
GOOD = "lag(close,21)/lag(close,252)-1"

BROKEN: Sequence[str] = (
    "",
    " ",
    "close +",
    "+ close",
    "(close",
    "close)",
    "close close",
    "close = 1",
    "close := 1",
    "close; open",
    "close # note",
    "close\x00",
    "close \u202e open",
    "cl\u00f6se",
    "'close'",
    "close.shift(-1)",
    "close[1]",
    "close[-1:]",
    "[close]",
    "{close}",
    "{close: open}",
    "(close, open)",
    "close,",
    "lambda: close",
    "close if open > 1 else 2",
    "close ** 2",
    "close % 2",
    "close // 2",
    "close @ open",
    "close << 2",
    "close is open",
    "close in open",
    "f'{close}'",
    "__import__('os').system('true')",
    "().__class__.__bases__",
    "exec('1')",
    "await close",
    "yield close",
    "*close",
    "lag(close,-1)",
    "lag(close,1.5)",
    "lag(close,1e18)",
    "lag(close,1000000000000000000)",
    "lag(close," + "9" * 400 + ")",
    "lag(close," + "9" * 5_000 + ")",
    "lag(close,1e400)",
    "lag(close,close)",
    "lag(close,True)",
    "lag(close,None)",
    "lag(close,'1')",
    "lag()",
    "lag(close,1,2)",
    "lag(close,k=1,k=2)",
    "lag(close,n=1)",
    "lag(*close)",
    "lag(**close)",
    "sma(close,0)",
    "sma(close,-3)",
    "sma(close,1000000000000)",
    "sma(close,1e12)",
    "sd(close,1)",
    "quantile(close,2,10)",
    "quantile(close,-0.5,10)",
    "lagmed(close,100000,100000)",
    "todmed(close,1e9)",
    "lag(lag(lag(close,1900000),1900000),1900000)",
    "run(close>open)",
    "run(close>open,1e15)==3",
    "anyn(close,3)",
    "where(close,1,2)",
    "close > open & volume > 1",
    "close & open",
    "close > open => volume",
    "1 > 2",
    "1/0",
    "1e308*10*close",
    "1" + "0" * 400 + "*close",
    "True",
    "nan",
    "inf*close",
    "smaa(close,3)",
    "clse",
    "sma",
    "x" * 100_000,
    "(" * 150 + "close" + ")" * 150 + "+",
    "(" * 100_000 + "close" + ")" * 100_000,
    "-" * 3_000 + "close",
    "-" * 1_000_000 + "close",
    "not " * 900 + "(close>1)",
    "+".join(["close"] * 500),
    "abs(" * 120 + "close" + ")" * 120,
    "a" + ".b" * 1_500,
    "momentum_12_1",
)


def inputs() -> Iterator[Input]:
    """Broken expressions."""
    for text in BROKEN:
        shown = text if len(text) < 50 else f"{text[:40]}... ({len(text)} characters)"
        yield Input("expressions", repr(shown), _as_feature(text))


def _as_feature(text: str) -> Callable[[Place], Sequence[str]]:
    def prepare(place: Place) -> Sequence[str]:
        path = place.specs / FILE
        content = path.read_text(encoding="utf-8")
        assert content.count(GOOD) == 1
        # JSON is YAML: a text in its quotes, whatever is in it.
        path.write_text(content.replace(GOOD, json.dumps(text)), encoding="utf-8")
        return ["doctor"]

    return prepare
