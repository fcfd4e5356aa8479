"""Arrays that are taken and given back, and what is made of outputs on the way."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest

from quant_platform.expressions import Kind, Use, compile_plan
from quant_platform.expressions.arrays import Arrays

X = np.array([1.0, 2.0, np.nan, 4.0])


@pytest.mark.parametrize("rows", [0, 1, 8, 1000])
def test_no_two_arrays_that_are_out_share_memory(rows: int) -> None:
    arrays = Arrays(rows)
    out = [arrays.take() for _ in range(200)]
    assert {array.shape for array in out} == {(rows,)}
    for number, array in enumerate(out):
        array.fill(number)
    assert all((array == number).all() for number, array in enumerate(out))


def test_what_was_given_back_last_is_taken_first() -> None:
    arrays = Arrays(3)
    first, second = arrays.take(), arrays.take()
    arrays.give(first)
    arrays.give(second)
    assert arrays.take() is second
    assert arrays.take() is first


@pytest.mark.parametrize("rows", [0, 1, 1000])
def test_zeros_are_zeros_whether_they_are_new_or_were_given_back(rows: int) -> None:
    arrays = Arrays(rows)
    used = [arrays.take() for _ in range(70)]
    for array in used:
        array.fill(np.nan)
    arrays.give(used[0])
    assert arrays.zeros() is used[0]
    assert not used[0].any()
    new = [arrays.zeros() for _ in range(70)]
    assert {array.shape for array in new} == {(rows,)}
    assert not any(array.any() for array in new)
    assert all(np.isnan(array).all() for array in used[1:])


@pytest.mark.parametrize(("rows", "most"), [(1, 1), (5, 5), (900, 640)])
def test_what_an_array_held_before_is_a_view_behind_missing_numbers(rows: int, most: int) -> None:
    arrays = Arrays(rows)
    array, other = arrays.take(), arrays.take()
    array[:], other[:] = np.arange(rows), -1.0
    for k in {0, 1, min(3, most), most}:
        found = arrays.lagged(array, k)
        assert found is not None
        assert np.array_equal(found, [np.nan] * min(k, rows) + list(range(rows - k)), equal_nan=True)
        assert np.shares_memory(found, array) or k >= rows
        assert not found.flags.writeable


def test_there_is_no_view_of_more_bars_than_the_margin_has_or_of_other_arrays() -> None:
    arrays = Arrays(1000)
    array = arrays.take()
    assert arrays.lagged(array, 641) is None
    assert arrays.lagged(np.zeros(1000), 1) is None
    assert arrays.lagged(Arrays(1000).take(), 1) is None
    assert arrays.lagged(np.zeros(1000, dtype=np.bool_), 1) is None
    once = arrays.lagged(array, 400)
    assert once is not None
    assert arrays.lagged(once, 240) is not None
    assert arrays.lagged(once, 241) is None


def test_an_array_is_not_taken_again_while_its_view_is_read_and_a_kept_view_is_copied() -> None:
    outputs = {
        "kept": "lag(2*x,1)",
        "twice": "lag(lag(2*x,1),2)",
        "far": "lag(2*x,700)",
        "late": "(3*x+(4*x+(5*x+6*x)))*0+lag(lag(7*x,2),3)",
        "squared": "lag(8*x,1)*lag(8*x,1)",
        "mean": "sma(lag(9*x,1),2)",
    }
    x = np.random.default_rng(3).normal(size=1500)
    found = compile_plan(outputs, {"x": Kind.NUMBER}).run({"x": x}).values

    def past(k: int) -> npt.NDArray[np.float64]:
        return np.concatenate([np.full(k, np.nan), x[:-k]])

    assert np.array_equal(found["kept"], 2 * past(1), equal_nan=True)
    assert np.array_equal(found["twice"], 2 * past(3), equal_nan=True)
    assert np.array_equal(found["far"], 2 * past(700), equal_nan=True)
    assert np.array_equal(found["late"], 7 * past(5), equal_nan=True)
    assert np.array_equal(found["squared"], (8 * past(1)) ** 2, equal_nan=True)
    assert np.allclose(found["mean"], (9 * past(1) + 9 * past(2)) / 2, equal_nan=True)
    assert all(values.flags.writeable for values in found.values())
    assert not any(np.shares_memory(found["kept"], found[name]) for name in outputs if name != "kept")


def test_a_repeated_number_and_a_part_with_steps_are_not_taken_again() -> None:
    arrays = Arrays(3)
    arrays.give(np.broadcast_to(np.float64(2.0), (3,)))
    arrays.give(np.zeros(6)[::2])
    assert arrays.take().flags.c_contiguous
    assert arrays.take().flags.writeable


def test_a_use_is_made_of_outputs_that_are_not_kept() -> None:
    plan = compile_plan({"twice": "2*x", "high": "x>1.5", "lagged": "lag(x,1)"}, {"x": Kind.NUMBER})
    seen: list[tuple[list[bool], list[float]]] = []

    def make(high: npt.NDArray[np.bool_], twice: npt.NDArray[np.float64]) -> int:
        seen.append((high.tolist(), twice.tolist()))
        return int(high.sum())

    found = plan.run({"x": X}, ["lagged"], uses={"count": Use(("high", "twice"), make)})
    assert found.made == {"count": 2}
    assert seen[0][0] == [False, True, False, True]
    assert np.array_equal(seen[0][1], [2.0, 4.0, np.nan, 8.0], equal_nan=True)
    assert list(found.values) == ["lagged"]
    assert np.array_equal(found.values["lagged"], [np.nan, 1.0, 2.0, np.nan], equal_nan=True)


def test_a_use_of_one_output_twice_and_of_a_kept_one_leaves_it_there() -> None:
    plan = compile_plan({"twice": "2*x"}, {"x": Kind.NUMBER})
    found = plan.run({"x": X}, uses={"equal": Use(("twice", "twice"), lambda a, b: a is b)})
    assert found.made == {"equal": True}
    assert np.array_equal(found.values["twice"], 2 * X, equal_nan=True)


def test_a_use_of_what_is_not_available_is_not_made() -> None:
    plan = compile_plan({"twice": "2*x", "other": "y"}, {"x": Kind.NUMBER, "y": Kind.NUMBER})
    found = plan.run({"x": X}, [], uses={"both": Use(("twice", "other"), lambda *both: len(both))})
    assert found.made == {}
    assert dict(found.not_available) == {"other": ("y",)}
    assert found.values == {}


def test_a_constant_is_an_array_of_its_own() -> None:
    found = compile_plan({"two": "2+0*1", "mean": "sma(3,2)"}, {"x": Kind.NUMBER}).run({"x": X}).values
    assert found["two"].tolist() == [2.0, 2.0, 2.0, 2.0]
    found["two"][0] = 5.0
    assert found["mean"].tolist()[1:] == [3.0, 3.0, 3.0]


def test_columns_that_are_given_are_not_changed() -> None:
    given = np.array([1.0, np.inf, -1.0])
    found = compile_plan({"x_": "x", "c": "abs(x)"}, {"x": Kind.NUMBER}).run({"x": given}).values
    assert given.tolist() == [1.0, np.inf, -1.0]
    assert np.array_equal(found["x_"], [1.0, np.nan, -1.0], equal_nan=True)
