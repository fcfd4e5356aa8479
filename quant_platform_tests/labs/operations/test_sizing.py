"""Sleeve caps and the allocator's layers, by hand and as properties."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from quant_platform.labs.operations.sizing import Wanted, grant, risk_weight, whole_units
from quant_platform.specification.operations import LimitsSpec

LIMITS = LimitsSpec(symbol=0.12, portfolio=0.95, new_exposure=0.4)
CAPS = {"safe": 0.6, "core": 0.5, "spec": 0.3}


def test_the_risk_of_a_trade_says_its_weight() -> None:
    # Half a percent of equity over a stop 5 % away is a tenth of equity.
    assert risk_weight(0.005, 0.05) == pytest.approx(0.1)


def test_a_sleeve_shares_what_its_cap_leaves() -> None:
    wanted = [Wanted("setups", "A", "spec", 1.0, 0.10), Wanted("setups", "B", "spec", -1.0, 0.10),
              Wanted("setups", "C", "core", 1.0, 0.10)]  # fmt: skip
    got = grant(wanted, {("spec", "Z"): 0.2}, CAPS, LIMITS)
    # Of 0.3 the held name uses 0.2: half of what the two want is left; core is untouched.
    assert [one.weight for one in got] == pytest.approx([0.05, 0.05, 0.10])
    assert [one.layers for one in got] == [("sleeve",), ("sleeve",), ()]


def test_each_layer_says_that_it_cut() -> None:
    assert grant([Wanted("s", "A", "safe", 1.0, 0.2)], {}, CAPS, LIMITS)[0].layers == ("symbol",)
    many = [Wanted("s", f"N{k}", "safe", 1.0, 0.1) for k in range(6)]
    assert {one.layers for one in grant(many, {}, CAPS, LIMITS)} == {("new_exposure",)}
    assert sum(one.weight for one in grant(many, {}, CAPS, LIMITS)) == pytest.approx(0.4)
    full = {("core", "Y"): 0.9}
    assert grant([Wanted("s", "A", "safe", 1.0, 0.1)], full, CAPS, LIMITS)[0].layers == ("portfolio",)


@settings(max_examples=50, deadline=None)
@given(
    st.lists(
        st.tuples(st.sampled_from("ABCD"), st.sampled_from(sorted(CAPS)), st.sampled_from([1.0, -1.0]),
                  st.floats(0.001, 0.5)),
        max_size=8,
    ),
    st.dictionaries(st.tuples(st.sampled_from(sorted(CAPS)), st.sampled_from("ABCD")), st.floats(0.0, 0.3), max_size=4),
)  # fmt: skip
def test_caps_hold_and_nothing_grows(
    rows: list[tuple[str, str, float, float]], held: dict[tuple[str, str], float]
) -> None:
    wanted = [Wanted(f"s{k}", ticker, sleeve, side, weight) for k, (ticker, sleeve, side, weight) in enumerate(rows)]
    got = grant(wanted, held, CAPS, LIMITS)
    assert all(after.weight <= before.weight * (1 + 1e-9) for after, before in zip(got, wanted, strict=True))
    for sleeve, cap in CAPS.items():
        used = sum(weight for (name, _), weight in held.items() if name == sleeve)
        new = sum(one.weight for one, want in zip(got, wanted, strict=True) if want.sleeve == sleeve)
        assert new <= max(0.0, cap - used) + 1e-9
    assert (
        sum(one.weight for one in got)
        <= min(LIMITS.new_exposure, max(0.0, LIMITS.portfolio - sum(held.values()))) + 1e-9
    )


def test_units_are_whole_and_none_without_equity() -> None:
    assert whole_units(0.1, 1000.0, 33.0) == 3.0
    assert whole_units(0.1, -5.0, 33.0) == 0.0
