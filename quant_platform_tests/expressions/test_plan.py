from __future__ import annotations

import doctest
import pickle
import subprocess
import sys
from collections import Counter

import numpy as np
import polars as pl
import pytest

import quant_platform.expressions
from quant_platform.contracts.errors import SchemaViolation
from quant_platform.expressions import Formula, Kind, compile_plan, evaluate_frame, evaluate_stacked

COLUMNS = dict.fromkeys(
    ("open", "high", "low", "close", "volume", "quote_volume", "funding_rate", "bench_ret"), Kind.NUMBER
) | {"settled": Kind.CONDITION}

# Feature lines of the five-minute table with the memory their author counted by hand.
HAND_COUNTED = {
    "ret1": ("dlog(close,1)", 1),
    "ret12": ("dlog(close,12)", 12),
    "rv12": ("sqrt(sma(ret1*ret1,12))", 12),
    "rv96": ("sqrt(sma(ret1*ret1,96))", 96),
    "rv_rank30d": ("rank(rv96,8640)", 8735),
    "shock": ("rv12/pmed(rv12,2016)", 2028),
    "tr1": ("log(high/low)", 0),
    "tr_tod": ("tr1/todmed(tr1,14)", 4032),
    "rng96": ("log(hi(high,96)/lo(low,96))", 95),
    "comp": ("rng96/pmed(rng96,2880)", 2975),
    "afund": ("abs(10000*funding_rate)", 0),
    "fund_hi": ("where(afund>=max2(pq(afund,0.95,8640),3.0),1.0,0.0)", 8640),
    "vwap96": ("sumn(quote_volume,96)/sumn(volume,96)", 95),
    "beta2016b": ("beta(ret1,bench_ret,2016)", 2016),
    "resid1": ("ret1-lag(beta2016b,1)*bench_ret", 2017),
    "resid12": ("sumn(resid1,12)", 2028),
    "pair_rho": ("corr(nscore(ret12,2016),nscore(bench_ret,2016),2016)", 4042),
    "brk_hi288": ("close>phi(high,288)", 288),
}


def test_memory_equals_the_hand_count() -> None:
    plan = compile_plan({name: text for name, (text, _) in HAND_COUNTED.items()}, COLUMNS)
    assert dict(plan.memory) == {name: memory for name, (_, memory) in HAND_COUNTED.items()}
    assert plan.memory_bars == 8735
    assert plan.columns["resid12"] == {"close", "bench_ret"}


def test_order_of_definition_does_not_matter() -> None:
    forwards = compile_plan({"a": "close+1", "b": "a*2"}, COLUMNS, {"c": "b-a"})
    backwards = compile_plan({"b": "a*2", "a": "close+1"}, COLUMNS, {"c": "b-a"})
    assert str(forwards.outputs["b"]) == str(backwards.outputs["b"]) == "mul(add(close,1.0),2.0)"


def test_shared_work_is_done_once() -> None:
    plan = compile_plan(
        {
            "one": "rz(close,50)",
            "two": Formula("pq(close,q,50)>=pmed(close,50)", (("q", 0.75),)),
            "three": "(close-pmed(close,50))*2",
        },
        COLUMNS,
    )
    counts = Counter(node.operation for node in plan.nodes())
    assert counts["order"] == 1
    assert counts["quantile"] == 3
    assert counts["sub"] == 2


def test_absent_column_makes_an_output_unavailable_and_never_zero() -> None:
    plan = compile_plan(
        {"a": "close+1", "b": "where(volume>close,1,0)", "c": "b+settled_number"},
        COLUMNS,
        {
            "settled_number": "where(settled,1,0)",
        },
    )
    result = plan.run({"close": np.array([1.0, 2.0])})
    assert list(result.values) == ["a"]
    assert result.not_available == {"b": ("volume",), "c": ("settled", "volume")}


def test_only_what_is_wanted_is_computed() -> None:
    plan = compile_plan({"a": "close+1", "b": "volume+1"}, COLUMNS)
    result = plan.run({"close": np.array([1.0])}, wanted=["a"])
    assert list(result.values) == ["a"]
    assert result.not_available == {}


def test_infinite_input_is_missing_and_input_is_left_as_it_was() -> None:
    close = np.array([1.0, np.inf, 3.0])
    close.setflags(write=False)
    plan = compile_plan({"a": "close*2", "b": "close", "c": "close>1"}, COLUMNS)
    result = plan.run({"close": close})
    np.testing.assert_array_equal(result.values["b"], [1.0, np.nan, 3.0])
    np.testing.assert_array_equal(result.values["c"], [False, False, True])
    np.testing.assert_array_equal(result.values["a"], [2.0, np.nan, 6.0])
    assert np.isinf(close[1])
    assert not np.shares_memory(result.values["b"], close)


def test_a_constant_fills_the_column() -> None:
    plan = compile_plan({"minus": "-1", "mean": "sma(2,3)"}, COLUMNS)
    result = plan.run({"close": np.zeros(4)})
    np.testing.assert_array_equal(result.values["minus"], [-1.0] * 4)
    np.testing.assert_array_equal(result.values["mean"], [np.nan, np.nan, 2.0, 2.0])


@pytest.mark.parametrize("rows", [0, 1])
def test_short_tables_give_short_answers(rows: int) -> None:
    texts = {name: text for name, (text, _) in HAND_COUNTED.items()}
    plan = compile_plan(texts, COLUMNS)
    table = {name: np.zeros(rows, dtype=bool if kind is Kind.CONDITION else float) for name, kind in COLUMNS.items()}
    assert {values.size for values in plan.run(table).values.values()} == {rows}


def test_wrong_columns_are_refused() -> None:
    plan = compile_plan({"a": "where(settled,close,volume)"}, COLUMNS)
    good = {"close": np.zeros(3), "volume": np.zeros(3), "settled": np.zeros(3, dtype=bool)}
    with pytest.raises(SchemaViolation, match="different shapes"):
        plan.run({**good, "volume": np.zeros(4)})
    with pytest.raises(SchemaViolation, match="a condition was expected and the type was float64"):
        plan.run({**good, "settled": np.zeros(3)})
    with pytest.raises(SchemaViolation, match="a number was expected and the type was bool"):
        plan.run({**good, "close": np.zeros(3, dtype=bool)})
    with pytest.raises(SchemaViolation, match="a number was expected and the type was <U1"):
        plan.run({**good, "close": np.array(["a", "b", "c"])})


def test_frame_in_frame_out() -> None:
    plan = compile_plan(
        {"change": "d(close,1)", "up": "close>lag(close,1)", "gone": "volume+1", "fired": "settled", "one": "1"},
        COLUMNS,
    )
    frame = pl.DataFrame(
        {"close": [1, None, 3, 5], "settled": [True, None, False, True]},
        schema={"close": pl.Int64, "settled": pl.Boolean},
    )
    result, not_available = evaluate_frame(plan, frame)
    assert result.schema == {
        "change": pl.Float64,
        "up": pl.Boolean,
        "gone": pl.Float64,
        "fired": pl.Boolean,
        "one": pl.Float64,
    }
    assert result["change"].to_list() == [None, None, None, 2.0]
    assert result["up"].to_list() == [False, False, False, True]
    assert result["gone"].to_list() == [None] * 4
    assert result["fired"].to_list() == [True, False, False, True]
    assert result["one"].to_list() == [1.0] * 4
    assert not_available == {"gone": ("volume",)}
    with pytest.raises(SchemaViolation, match="a number was expected and the type was String"):
        evaluate_frame(plan, frame.with_columns(close=pl.lit("x")))


def test_stacked_instruments_see_their_own_bars_only() -> None:
    plan = compile_plan({"change": "d(close,1)", "up": "close>lag(close,1)", "gone": "volume+1"}, COLUMNS)
    one = pl.DataFrame({"close": [1.0, None, 3.0, 5.0]})
    two = pl.DataFrame({"close": [9.0, 4.0]})
    found = evaluate_stacked(plan, pl.concat([one, two]), [4, 2])
    np.testing.assert_array_equal(found["change"], [np.nan, np.nan, np.nan, 2.0, np.nan, -5.0])
    assert found["up"].tolist() == [False, False, False, True, False, False]
    assert np.isnan(found["gone"]).all()
    for k, frame in enumerate((one, two)):
        alone, _ = evaluate_frame(plan, frame)
        rows = slice(0, 4) if k == 0 else slice(4, 6)
        assert pl.Series(found["change"][rows]).fill_nan(None).to_list() == alone["change"].to_list()
    with pytest.raises(SchemaViolation, match="a number was expected and the type was String"):
        evaluate_stacked(plan, one.with_columns(close=pl.lit("x")), [4])


def test_import_starts_no_thread() -> None:
    """Fork servers preload the package; a thread pool that runs before the fork is lost in the child.

    The libraries themselves start housekeeping threads that survive a fork; the room adds none to those.
    """
    code = (
        "import threading, numba, numpy, polars, scipy.special\n"
        "from pathlib import Path\n"
        "count = lambda: len(list(Path('/proc/self/task').glob('*'))) or threading.active_count()\n"
        "before = count()\n"
        "import quant_platform.expressions\n"
        "print(count() - before)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "0"


def test_example_in_the_documentation_runs() -> None:
    assert doctest.testmod(quant_platform.expressions) == (0, 4)


def test_a_plan_crosses_process_boundaries() -> None:
    plan = compile_plan({name: text for name, (text, _) in HAND_COUNTED.items()}, COLUMNS)
    copy = pickle.loads(pickle.dumps(plan))
    assert len(list(copy.nodes())) == len(list(plan.nodes()))
    close = np.array([1.0, 2.0, 4.0])
    np.testing.assert_array_equal(copy.run({"close": close}).values["ret1"], [np.nan, np.log(2), np.log(2)])
