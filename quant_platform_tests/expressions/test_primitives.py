from __future__ import annotations

import math
import statistics
from collections.abc import Callable
from dataclasses import dataclass
from statistics import NormalDist
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from quant_platform.expressions import PRIMITIVES, Kind, Primitive, compile_plan
from quant_platform_tests.expressions import twins

COLUMNS = {"x": Kind.NUMBER, "y": Kind.NUMBER, "v": Kind.NUMBER, "c": Kind.CONDITION}


@dataclass(frozen=True)
class Bar:
    """Bar t of the columns x, y, v (missing is None) and c."""

    x: list[float | None]
    y: list[float | None]
    v: list[float | None]
    c: list[bool]
    t: int


@dataclass(frozen=True)
class Twin:
    """An expression and its meaning at one bar."""

    expression: str
    meaning: Callable[[Bar], float | bool | None]


CASES = [
    Twin("abs(x)", lambda bar: twins.elementwise(abs)(bar.x, bar.t)),
    Twin("log(x)", lambda bar: twins.elementwise(twins.logarithm)(bar.x, bar.t)),
    Twin("sqrt(x)", lambda bar: twins.elementwise(lambda a: math.sqrt(a) if a >= 0 else None)(bar.x, bar.t)),
    Twin("sgn(x)", lambda bar: twins.elementwise(twins.sign)(bar.x, bar.t)),
    Twin("max2(x,y)", lambda bar: twins.both_present(max)(bar.x, bar.y, bar.t)),
    Twin("min2(x,y)", lambda bar: twins.both_present(min)(bar.x, bar.y, bar.t)),
    Twin("ncdf(x)", lambda bar: twins.elementwise(NormalDist().cdf)(bar.x, bar.t)),
    Twin("where(c,x,y)", lambda bar: bar.x[bar.t] if bar.c[bar.t] else bar.y[bar.t]),
    Twin("known(x)", lambda bar: bar.x[bar.t] is not None),
    Twin("lag(x)", lambda bar: twins.at(bar.x, bar.t - 1)),
    Twin("lag(x,3)", lambda bar: twins.at(bar.x, bar.t - 3)),
    Twin("lag(c,2)", lambda bar: bool(bar.t >= 2 and bar.c[bar.t - 2])),
    Twin("d(x,2)", lambda bar: twins.minus(bar.x[bar.t], twins.at(bar.x, bar.t - 2))),
    Twin(
        "dlog(v,2)", lambda bar: twins.minus(twins.logarithm(bar.v[bar.t]), twins.logarithm(twins.at(bar.v, bar.t - 2)))
    ),
    Twin("sma(x,4)", lambda bar: twins.over(bar.x, bar.t, 4, statistics.fmean)),
    Twin("sma(x,12)", lambda bar: twins.over(bar.x, bar.t, 12, statistics.fmean)),
    Twin("sd(x,2)", lambda bar: twins.over(bar.x, bar.t, 2, twins.sd)),
    Twin("sd(x,4)", lambda bar: twins.over(bar.x, bar.t, 4, twins.sd)),
    Twin("sd(x,13)", lambda bar: twins.over(bar.x, bar.t, 13, twins.sd)),
    Twin("med(x,5)", lambda bar: twins.over(bar.x, bar.t, 5, statistics.median)),
    Twin("med(x,12)", lambda bar: twins.over(bar.x, bar.t, 12, statistics.median)),
    Twin("quantile(x,0.9,11)", lambda bar: twins.over(bar.x, bar.t, 11, lambda w: twins.quantile(w, 0.9))),
    Twin("quantile(x,1,3)", lambda bar: twins.over(bar.x, bar.t, 3, max)),
    Twin("sumn(x,3)", lambda bar: twins.over(bar.x, bar.t, 3, math.fsum)),
    Twin("sumn(x,11)", lambda bar: twins.over(bar.x, bar.t, 11, math.fsum)),
    Twin("hi(x,5)", lambda bar: twins.over(bar.x, bar.t, 5, max)),
    Twin("hi(x,11)", lambda bar: twins.over(bar.x, bar.t, 11, max)),
    Twin("lo(x,5)", lambda bar: twins.over(bar.x, bar.t, 5, min)),
    Twin("lo(x,11)", lambda bar: twins.over(bar.x, bar.t, 11, min)),
    Twin("pmean(x,5)", lambda bar: twins.before(bar.x, bar.t, 5, statistics.fmean)),
    Twin("psd(x,5)", lambda bar: twins.before(bar.x, bar.t, 5, twins.sd)),
    Twin("pmed(x,5)", lambda bar: twins.before(bar.x, bar.t, 5, statistics.median)),
    Twin("phi(x,5)", lambda bar: twins.before(bar.x, bar.t, 5, max)),
    Twin("plo(x,5)", lambda bar: twins.before(bar.x, bar.t, 5, min)),
    Twin("pq(x,0.3,6)", lambda bar: twins.before(bar.x, bar.t, 6, lambda w: twins.quantile(w, 0.3))),
    Twin("z(x,5)", lambda bar: twins.z(bar.x, bar.t, 5)),
    Twin("rz(x,6)", lambda bar: twins.rz(bar.x, bar.t, 6)),
    Twin("rank(x,5)", lambda bar: twins.rank(bar.x, bar.t, 5)),
    Twin("rank(x,12)", lambda bar: twins.rank(bar.x, bar.t, 12)),
    Twin("nscore(x,12)", lambda bar: twins.nscore(bar.x, bar.t, 12)),
    Twin("corr(x,y,5)", lambda bar: twins.corr(bar.x, bar.y, bar.t, 5)),
    Twin("corr(x,y,12)", lambda bar: twins.corr(bar.x, bar.y, bar.t, 12)),
    Twin("beta(y,x,5)", lambda bar: twins.beta(bar.y, bar.x, bar.t, 5)),
    Twin("beta(y,x,12)", lambda bar: twins.beta(bar.y, bar.x, bar.t, 12)),
    Twin("lagmed(x,3,4)", lambda bar: twins.lagmed(bar.x, bar.t, 3, 4)),
    Twin("lagmed(x,10,2)", lambda bar: twins.lagmed(bar.x, bar.t, 10, 2)),
    Twin("todmed(x,4,bars_per_day=3)", lambda bar: twins.lagmed(bar.x, bar.t, 4, 3)),
    Twin("run(c,3)", lambda bar: twins.run(bar.c, bar.t, 3)),
    Twin("run(c)==2", lambda bar: twins.run(bar.c, bar.t, 1000) == 2),
    Twin("run(c)>=3", lambda bar: twins.run(bar.c, bar.t, 1000) >= 3),
    Twin("anyn(c,3)", lambda bar: any(bar.c[max(0, bar.t - 2) : bar.t + 1])),
    Twin("pany(c,3)", lambda bar: any(bar.c[max(0, bar.t - 3) : bar.t])),
    Twin("cnt(c,4)", lambda bar: sum(bar.c[bar.t - 3 : bar.t + 1]) if bar.t >= 3 else None),
    Twin("cnt(c,11)", lambda bar: sum(bar.c[max(0, bar.t - 10) : bar.t + 1]) if bar.t >= 9 else None),
    Twin("past(x,c,1,3)", lambda bar: twins.past(bar.x, bar.c, bar.t, 1, 3)),
    Twin("past(x,c,2,5)", lambda bar: twins.past(bar.x, bar.c, bar.t, 2, 5)),
    Twin("xup(x,y)", lambda bar: twins.xup(bar.x, bar.y, bar.t)),
    Twin("xup(x,1)", lambda bar: twins.xup(bar.x, [1.0] * len(bar.x), bar.t)),
    Twin("tr(x,y,v)", lambda bar: twins.true_range(bar.x, bar.y, bar.v, bar.t)),
    Twin("atr(x,y,v,3)", lambda bar: twins.atr(bar.x, bar.y, bar.v, bar.t, 3)),
    Twin("rsi(x,4)", lambda bar: twins.rsi(bar.x, bar.t, 4)),
]
EXTRA = [
    Twin("x<y", lambda bar: bool(twins.both_present(lambda a, b: a < b)(bar.x, bar.y, bar.t))),
    Twin("x!=y", lambda bar: bool(twins.both_present(lambda a, b: a != b)(bar.x, bar.y, bar.t))),
    Twin("~(x<y)", lambda bar: bool(twins.both_present(lambda a, b: a >= b)(bar.x, bar.y, bar.t))),
    Twin("~c", lambda bar: not bar.c[bar.t]),
    Twin(
        "not (c and x==y)",
        lambda bar: bool((not bar.c[bar.t]) or twins.both_present(lambda a, b: a != b)(bar.x, bar.y, bar.t)),
    ),
    Twin(
        "0<x<=2",
        lambda bar: bool(twins.elementwise(lambda a: float(0 < a <= 2))(bar.x, bar.t)),
    ),
    Twin("x/y", lambda bar: twins.divide(bar.x[bar.t], bar.y[bar.t])),
    Twin("(x>y)|c&(x<=1)", lambda bar: _or(bar)),
]


def _or(bar: Bar) -> bool:
    x, y = bar.x[bar.t], bar.y[bar.t]
    greater = x is not None and y is not None and x > y
    return greater or (bar.c[bar.t] and x is not None and x <= 1)


# Few distinct values make ties, constants and exact zeros; the second set tests rounding.
_TIED = st.sampled_from([-2.0, -1.0, 0.0, 0.5, 1.0, 2.0])
_SMOOTH = st.floats(-50, 50, allow_nan=False, width=32)


@st.composite
def tables(draw: st.DrawFn) -> dict[str, np.ndarray]:
    rows = draw(st.integers(1, 48))
    values = draw(st.sampled_from([_TIED, _SMOOTH]))
    gaps = draw(st.sampled_from([0.0, 0.05, 0.4]))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    table = {name: draw(hnp.arrays(np.float64, rows, elements=values)) for name in ("x", "y")}
    table["v"] = np.exp(table["x"] / 25)
    for column in table.values():
        column[rng.random(rows) < gaps] = np.nan
    table["c"] = rng.random(rows) < 0.6
    return table


def _lists(table: dict[str, np.ndarray]) -> list[list[Any]]:
    return [
        [None if isinstance(value, float) and math.isnan(value) else value for value in table[name].tolist()]
        for name in ("x", "y", "v", "c")
    ]


def test_every_primitive_has_a_twin() -> None:
    tested = {case.expression.split("(")[0] for case in CASES}
    assert tested == set(PRIMITIVES)


@pytest.mark.parametrize("case", [*CASES, *EXTRA], ids=lambda case: case.expression)
@settings(max_examples=25, deadline=None)
@given(table=tables())
def test_primitive_means_what_its_twin_says(case: Twin, table: dict[str, np.ndarray]) -> None:
    plan = compile_plan({"out": case.expression}, COLUMNS)
    values = plan.run(table).values["out"]
    lists = _lists(table)
    expected = [case.meaning(Bar(*lists, t)) for t in range(len(lists[0]))]
    if values.dtype == np.bool_:
        assert values.tolist() == expected
    else:
        wanted = np.array([np.nan if value is None else value for value in expected], dtype=float)
        # Ratios of moments are ill-conditioned where the window hardly varies; 1e-7 absolute covers a span of 100.
        np.testing.assert_allclose(values, wanted, rtol=1e-9, atol=1e-7)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.expression)
def test_value_depends_on_declared_memory_only(case: Twin) -> None:
    rng = np.random.default_rng(20)
    rows = 160
    table = {"x": rng.normal(size=rows), "y": rng.normal(size=rows), "c": rng.random(rows) < 0.6}
    table["v"] = np.exp(table["x"])
    table["x"][rng.random(rows) < 0.03] = np.nan
    plan = compile_plan({"out": case.expression}, COLUMNS)
    full = plan.run(table).values["out"]
    memory = plan.memory["out"]
    for t in range(memory, rows, 7):
        part = plan.run({name: column[t - memory : t + 1] for name, column in table.items()}).values["out"]
        np.testing.assert_allclose(part[-1].astype(float), full[t].astype(float), rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.expression)
def test_declared_memory_is_not_longer_than_needed(case: Twin) -> None:
    """Changing the oldest remembered bar alone changes the value for some data, or the memory would be overstated."""
    plan = compile_plan({"out": case.expression}, COLUMNS)
    memory = plan.memory["out"]
    rng = np.random.default_rng(21)
    for _ in range(400):
        rows = memory + 1
        table = {"x": rng.normal(size=rows), "y": rng.normal(size=rows), "c": rng.random(rows) < rng.random()}
        table["v"] = np.exp(table["x"])
        base = plan.run(table).values["out"][-1]
        for column in table.values():
            column[0] = ~column[0] if column.dtype == np.bool_ else column[0] + rng.normal() * 5
        table["v"][0] = np.exp(table["x"][0])
        table["x"][0] = rng.choice([table["x"][0], np.nan])
        changed = plan.run(table).values["out"][-1]
        if not np.array_equal(base, changed, equal_nan=True):
            return
    pytest.fail(f"{case.expression} declares {memory} bars and never used the oldest one")


@pytest.mark.parametrize(
    "expression", ["sma(x,12)", "sd(x,13)", "sumn(x,3)", "corr(x,y,12)", "beta(y,x,11)", "z(x,10)"]
)
def test_bits_do_not_depend_on_where_the_data_start(expression: str) -> None:
    """Rows counted from a fixed point: a later start with the full memory gives the same floating-point numbers."""
    rng = np.random.default_rng(24)
    table = {"x": rng.normal(size=500) * 1e3, "y": rng.normal(size=500)}
    table["x"][rng.random(500) < 0.02] = np.nan
    plan = compile_plan({"out": expression}, COLUMNS)
    full = plan.run(table, origin=77).values["out"]
    np.testing.assert_allclose(full, plan.run(table).values["out"], rtol=1e-9, atol=1e-9)
    memory = plan.memory["out"]
    for first in (1, 5, 12, 100):
        part = plan.run({name: column[first:] for name, column in table.items()}, origin=77 + first).values["out"]
        np.testing.assert_array_equal(part[memory:], full[first + memory :])


def test_constant_values_have_no_variance_at_all() -> None:
    x = np.full(500, 0.1)
    plan = compile_plan(
        {"sd": "sd(x,37)", "gap": "x-sma(x,37)", "z": "z(x,37)", "rz": "rz(x,37)", "corr": "corr(x,y,37)"}, COLUMNS
    )
    result = plan.run({"x": x, "y": np.random.default_rng(22).normal(size=500)}).values
    assert (result["sd"][36:] == 0.0).all()
    assert (result["gap"][36:] == 0.0).all()
    assert all(np.isnan(result[name]).all() for name in ("z", "rz", "corr"))


def test_moments_keep_their_digits_far_from_zero() -> None:
    """The textbook formula E[x^2] - E[x]^2 returns noise here; the numbers differ from 1e9 by at most 1."""
    rng = np.random.default_rng(23)
    noise = rng.integers(0, 2, size=3000).astype(float)
    plan = compile_plan({"sd": "sd(x,200)"}, COLUMNS)
    near = plan.run({"x": noise}).values["sd"]
    far = plan.run({"x": noise + 1e9}).values["sd"]
    np.testing.assert_allclose(far[199:], near[199:], rtol=1e-5)


@pytest.mark.parametrize("primitive", list(PRIMITIVES.values()), ids=lambda p: p.name)
def test_reference_text_is_a_sentence(primitive: Primitive) -> None:
    assert primitive.doc.endswith(".")
    assert primitive.signature.startswith(primitive.name + "(")
