from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from quant_platform.contracts.errors import SpecError
from quant_platform.specification.event_lab import load_event_lab

SPECS = Path(__file__).resolve().parents[2] / "specs"
FAMILY_SIZES = {
    "LIQUIDITY_DISLOCATION": 8,
    "VOLATILITY_TRANSITION": 6,
    "FUNDING_EPISODE": 5,
    "POSITIONING_EXTREMES": 5,
    "FORCED_FLOW": 9,
    "TREND_STRUCTURE": 6,
    "REGIME_TRANSITION": 5,
    "INFORMATION_DESYNC": 6,
    "TEMPORAL_STRUCTURE": 4,
    "EXECUTION_FRICTION": 3,
}


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    for name in ("states.yaml", "families.yaml", "context.yaml", "features", "events"):
        source = SPECS / name
        if source.is_dir():
            shutil.copytree(source, tmp_path / name)
        else:
            shutil.copy(source, tmp_path / name)
    return tmp_path


def change(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert text.count(old) >= 1
    path.write_text(text.replace(old, new, 1))


def test_the_lab_has_57_events_of_ten_families_60_features_and_nine_states() -> None:
    lab = load_event_lab(SPECS)
    families = [event.family for event in lab.events.values()]
    assert {name: families.count(name) for name in lab.families} == FAMILY_SIZES
    assert len(lab.active) == 57
    assert len(lab.features.features) == 60
    assert len(lab.states) == 9


def test_an_event_inherits_from_its_family_what_it_does_not_say() -> None:
    lab = load_event_lab(SPECS)
    assert lab.events["VOL_SHOCK"].horizons_bars == (3, 12, 48)
    assert lab.events["OI_FLUSH"].horizons_bars == (1, 3, 12, 48)
    assert lab.events["OI_FLUSH"].conditioning == lab.families["POSITIONING_EXTREMES"].conditioning


@pytest.mark.parametrize(
    ("file", "old", "new", "message"),
    [
        ("events/VOL_SHOCK.yaml", "id: VOL_SHOCK", "id: VOL_SHAKE", r"called VOL_SHOCK.yaml[\s\S]*VOL_SHOCK.yaml:1"),
        (
            "events/VOL_SHOCK.yaml",
            "family: VOL",
            "family: WOOL",
            r"no family[\s\S]*VOL_SHOCK.yaml:3[\s\S]*VOLATILITY_T",
        ),
        ("events/VOL_SHOCK.yaml", "cooldown_bars", "cooldown_bar", r"did you mean 'cooldown_bars'"),
        ("events/VOL_SHOCK.yaml", "direction_kind: signed", "direction_kind: none", r"belong together"),
        ("events/FND_DISLOC.yaml", "fund_apart:", "fund_calm:", r"'fund_calm' is defined twice[\s\S]*FND_DISLOC"),
        ("families.yaml", "[vol_regime, session]", "[vol_regime, sessions]", r"no state 'sessions'"),
        ("states.yaml", "- VOL_SHOCK", "- VOL_SHAKE", r"no event 'VOL_SHAKE'"),
        ("states.yaml", "Europe/London", "Europe/Londres", r"no time zone 'Europe/Londres'"),
        ("states.yaml", "hysteresis: 0.03", "hysteresis: 0.2", r"more than twice the hysteresis"),
        ("context.yaml", "exchange: XTKS", "exchanges: XTKS", r"did you mean 'exchange'"),
    ],
)
def test_a_fault_is_named_with_its_place(copy: Path, file: str, old: str, new: str, message: str) -> None:
    change(copy / file, old, new)
    with pytest.raises(SpecError, match=message):
        load_event_lab(copy)


def test_every_review_says_something_and_no_two_rules_are_equal() -> None:
    events = load_event_lab(SPECS).events.values()
    assert all(len(event.review) > 40 for event in events)
    assert len({(event.condition, *event.params.items()) for event in events}) == len(events)
