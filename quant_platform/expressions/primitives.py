"""The words of the expression language: every primitive, its arguments, its memory and what it does with gaps.

The language can only look back. Windows end at the current bar, lags are not negative, and nothing here
accepts a whole sample, so an expression that parses is causal by construction.

**Missing values.** NaN is missing; every infinite result (a division by zero, the logarithm of zero) is missing
too. A comparison with a missing value is false, and so is its negation, which is the opposite comparison. A function
over the last ``n`` bars skips missing bars and needs 90 % of the window, all of it when ``n < 10``; with fewer it is
missing. Nothing is carried forward and nothing becomes zero. A bar before the first row counts as missing, for a
condition as false.

**Two sorts of primitives.** *Core* primitives have a kernel. The others carry an ``expansion``, written in the language
itself; ``phi(x,n)`` is ``lag(hi(x,n),1)``, so expressions that use both share the work, and memory needs no second
bookkeeping.

**Memory** is the number of bars before the current one that a value depends on: ``sma(x,12)`` has 11, ``lag(x,1)``
has 1, ``pmed(x,2016)`` has 2016. It adds up along the tree (:mod:`.memory`).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType

from quant_platform.expressions.nodes import Kind, Literal


class ArgumentKind(StrEnum):
    """What may stand in an argument's place."""

    NUMBER = "a number"
    CONDITION = "a condition"
    EITHER = "a number or a condition"
    WINDOW = "a whole number of bars, written out"
    LAG = "a lag in bars, written out"
    PROBABILITY = "a probability between 0 and 1, written out"


@dataclass(frozen=True)
class Argument:
    """One argument of a primitive; ``least`` is the smallest window allowed, ``default`` makes it optional."""

    name: str
    kind: ArgumentKind
    least: int = 0
    default: Literal | None = None


@dataclass(frozen=True)
class Primitive:
    """A word of the language.

    Parameters
    ----------
    name
        As it is written in an expression.
    arguments
        In order; each may also be given by keyword.
    kind
        What it yields; None means the kind of its first argument.
    doc
        Meaning, unit and gaps, one or two sentences.
    memory
        Bars before the current one it needs beyond those of its inputs, from its literal arguments in order.
        Not used when there is an expansion.
    expansion
        The same thing in simpler words, or empty for a core primitive.
    ordered
        The kernel reads the ranks of its input instead of the values, so that several of them share one sort.
    """

    name: str
    arguments: tuple[Argument, ...]
    kind: Kind | None
    doc: str
    memory: Callable[[tuple[Literal, ...]], int] = lambda _: 0
    expansion: str = ""
    ordered: bool = False

    @property
    def signature(self) -> str:
        """The call as one would write it, for messages and reference pages."""
        parts = [a.name if a.default is None else f"{a.name}={a.default}" for a in self.arguments]
        return f"{self.name}({', '.join(parts)})"


def required_count(window: int) -> int:
    """Present values a window needs: all below ten bars, else 90 %, rounded up."""
    return window if window < 10 else math.ceil(window * 9 / 10)


def _number(name: str) -> Argument:
    return Argument(name, ArgumentKind.NUMBER)


def _condition(name: str) -> Argument:
    return Argument(name, ArgumentKind.CONDITION)


def _window(least: int = 1, name: str = "n") -> Argument:
    return Argument(name, ArgumentKind.WINDOW, least)


_X, _Y, _C = _number("x"), _number("y"), _condition("c")
_P = Argument("p", ArgumentKind.PROBABILITY)
_K = Argument("k", ArgumentKind.LAG)


def _window_memory(literals: tuple[Literal, ...]) -> int:
    return int(literals[-1]) - 1


def _core(
    name: str,
    arguments: tuple[Argument, ...],
    doc: str,
    *,
    kind: Kind | None = Kind.NUMBER,
    memory: Callable[[tuple[Literal, ...]], int] = lambda _: 0,
    ordered: bool = False,
) -> Primitive:
    return Primitive(name, arguments, kind, doc, memory, ordered=ordered)


def _defined(
    name: str, arguments: tuple[Argument, ...], expansion: str, doc: str, kind: Kind = Kind.NUMBER
) -> Primitive:
    return Primitive(name, arguments, kind, doc, expansion=expansion)


_ELEMENTWISE = (
    _core("abs", (_X,), "Absolute value."),
    _core("log", (_X,), "Natural logarithm; missing where x is zero or negative."),
    _core("sqrt", (_X,), "Square root; missing where x is negative."),
    _core("sgn", (_X,), "Sign: -1, 0 or 1."),
    _core("max2", (_X, _Y), "The larger of two; missing where either is missing."),
    _core("min2", (_X, _Y), "The smaller of two; missing where either is missing."),
    _core("ncdf", (_X,), "Standard normal distribution function."),
    _core("where", (_C, _X, _Y), "x where the condition is true, else y; a condition on a gap is false."),
    _core("known", (_X,), "True where x is not missing.", kind=Kind.CONDITION),
)

_TRAILING = (
    _core(
        "lag",
        (Argument("x", ArgumentKind.EITHER), Argument("k", ArgumentKind.LAG, default=1)),
        "The value k bars ago; a condition from before the first row is false.",
        kind=None,
        memory=lambda literals: int(literals[0]),
    ),
    _core("sma", (_X, _window()), "Mean of the last n bars, the current one included.", memory=_window_memory),
    _core(
        "sd",
        (_X, _window(2)),
        "Sample standard deviation (n-1) of the last n bars; exactly zero on constant values.",
        memory=_window_memory,
    ),
    _core(
        "sumn",
        (_X, _window()),
        "Sum over the last n bars; bars that are missing add nothing.",
        memory=_window_memory,
    ),
    _core("hi", (_X, _window()), "Largest of the last n bars.", memory=_window_memory),
    _core("lo", (_X, _window()), "Smallest of the last n bars.", memory=_window_memory),
    _core(
        "quantile",
        (_X, _P, _window()),
        "The p-quantile of the last n bars, linear interpolation, the current bar included.",
        memory=_window_memory,
        ordered=True,
    ),
    _core(
        "rank",
        (_X, _window()),
        "Percentile of the current value among the last n, in (0, 1]; ties share their average rank.",
        memory=_window_memory,
        ordered=True,
    ),
    _core(
        "nscore",
        (_X, _window()),
        "Standard normal quantile of (rank - 0.5) / count over the last n bars.",
        memory=_window_memory,
        ordered=True,
    ),
    _core(
        "corr",
        (_X, _Y, _window(2)),
        "Pearson correlation over the last n bars where both are present; missing when either does not vary.",
        memory=_window_memory,
    ),
    _core(
        "beta",
        (_Y, _X, _window(2)),
        "Slope of y on x: cov(y,x) / var(x) over the last n bars where both are present.",
        memory=_window_memory,
    ),
    _core(
        "lagmed",
        (_X, _window(1, "count"), _window(1, "step")),
        "Median of x at the lags step, 2 step, ... count step; the 90 % rule counts those lags.",
        memory=lambda literals: int(literals[0]) * int(literals[1]),
    ),
    _core(
        "run",
        (_C, _window(1, "cap")),
        "Length of the current streak of true, counted up to cap, which may be left out in a comparison with a number.",
        memory=_window_memory,
    ),
    _core(
        "anyn",
        (_C, _window()),
        "True when the condition held on any of the last n bars, the current one included.",
        kind=Kind.CONDITION,
        memory=_window_memory,
    ),
    _core(
        "cnt",
        (_C, _window()),
        "Number of true bars among the last n; missing before the table holds enough rows.",
        memory=_window_memory,
    ),
    _core(
        "past",
        (_X, _C, _window(1, "k"), _window()),
        "x on the k-th last bar before the current one on which c held; missing when that is more than n bars ago.",
        memory=lambda literals: int(literals[1]),
    ),
)

_DEFINED = (
    _defined("d", (_X, _K), "x-lag(x,k)", "Change over k bars."),
    _defined("dlog", (_X, _K), "log(x)-lag(log(x),k)", "Log change over k bars."),
    _defined("med", (_X, _window()), "quantile(x,0.5,n)", "Median of the last n bars."),
    _defined("pmean", (_X, _window()), "lag(sma(x,n),1)", "Mean of the n bars before the current one."),
    _defined("psd", (_X, _window(2)), "lag(sd(x,n),1)", "Sample sd of the n bars before the current one."),
    _defined("pmed", (_X, _window()), "lag(med(x,n),1)", "Median of the n bars before the current one."),
    _defined("phi", (_X, _window()), "lag(hi(x,n),1)", "Largest of the n bars before the current one."),
    _defined("plo", (_X, _window()), "lag(lo(x,n),1)", "Smallest of the n bars before the current one."),
    _defined(
        "pq", (_X, _P, _window()), "lag(quantile(x,p,n),1)", "The p-quantile of the n bars before the current one."
    ),
    _defined(
        "z",
        (_X, _window(2)),
        "(x-pmean(x,n))/psd(x,n)",
        "Distance from the mean of the n bars before, in their sd; missing when they do not vary.",
    ),
    _defined(
        "rz",
        (_X, _window(2)),
        "(x-pmed(x,n))/((pq(x,0.75,n)-pq(x,0.25,n))/1.349)",
        "Robust z: distance from the median of the n bars before, in their IQR / 1.349.",
    ),
    _defined(
        "todmed",
        (_X, _window(1, "days"), Argument("bars_per_day", ArgumentKind.WINDOW, 1, 288)),
        "lagmed(x,days,bars_per_day)",
        "Median of x at the same clock bar on the previous days.",
    ),
    _defined(
        "pany",
        (_C, _window()),
        "lag(anyn(c,n),1)",
        "True when the condition held on any of the n bars before the current one.",
        Kind.CONDITION,
    ),
    _defined(
        "xup",
        (_X, _number("t")),
        "(x>=t)&(lag(x,1)<lag(t,1))",
        "True on the bar where x reaches t from below.",
        Kind.CONDITION,
    ),
    _defined(
        "tr",
        (_number("high"), _number("low"), _number("close")),
        "max2(high-low,max2(abs(high-lag(close,1)),abs(low-lag(close,1))))",
        "True range (Wilder 1978) in price units; missing where the close before is missing.",
    ),
    _defined(
        "atr",
        (_number("high"), _number("low"), _number("close"), _window()),
        "sma(tr(high,low,close),n)",
        "Average true range as a simple mean: Wilder's own smoothing never forgets, this forgets after n bars.",
    ),
    _defined(
        "rsi",
        (_X, _window()),
        "100*sma(max2(d(x,1),0),n)/sma(abs(d(x,1)),n)",
        "Relative strength index with simple means (Cutler), 0..100; missing when x did not move at all.",
    ),
)

PRIMITIVES: Mapping[str, Primitive] = MappingProxyType({p.name: p for p in (*_ELEMENTWISE, *_TRAILING, *_DEFINED)})
