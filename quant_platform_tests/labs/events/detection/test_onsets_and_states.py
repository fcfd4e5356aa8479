from __future__ import annotations

import datetime as dt

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from quant_platform.labs.events.detection.clocks import clock_labels
from quant_platform.labs.events.detection.onsets import accepted, window_after
from quant_platform.labs.events.detection.states import at_cadence, band_labels, rule_labels
from quant_platform_tests.labs.events.detection.worlds import lab


def bits(text: str) -> np.ndarray:
    return np.array([letter == "x" for letter in text], dtype=np.bool_)


def text(values: np.ndarray) -> str:
    return "".join("x" if value else "." for value in values)


def onsets(condition: np.ndarray, *, rising: bool = False, cooldown: int = 0, missing: str = "") -> np.ndarray:
    """Accepted onsets per bar; the direction is missing on the bars that are marked."""
    gaps = bits(missing.ljust(condition.size, "."))
    direction = np.where(gaps, np.nan, 1.0)
    rows = accepted(condition, direction, np.zeros(condition.size), rising=rising, cooldown_bars=cooldown)
    found = np.zeros(condition.size, dtype=np.bool_)
    found[rows] = True
    return found


def test_rising_marks_the_first_bar_of_each_streak_and_level_every_bar() -> None:
    assert text(onsets(bits("x.xx.xxx"), rising=True)) == "..x..x.."
    assert text(onsets(bits("x.xx.xxx"))) == "x.xx.xxx"
    # Eight bars that are all false, and the end of a streak at their edge.
    assert text(onsets(bits(".......xx" + 8 * "." + "x......"), rising=True)) == ".......x" + 9 * "." + "x......"
    assert text(onsets(bits("........xx......" + 8 * "." + "xx"), rising=True)) == "........x......." + 8 * "." + "x."


def test_a_bar_without_direction_or_intensity_is_one_on_which_the_rule_does_not_hold() -> None:
    assert text(onsets(bits("xxxxx"), missing=".x...")) == "x.xxx"
    assert text(onsets(bits(".xxxx"), rising=True, missing="..x..")) == ".x.x."
    unknown = np.array([0.0, np.nan, 0.0])
    assert accepted(bits("xxx"), np.ones(3), unknown, rising=False, cooldown_bars=0).tolist() == [0, 2]


@pytest.mark.parametrize(
    ("begun", "cooldown", "expected"),
    [
        ("x...x", 3, "x...x"),
        ("x..x.", 3, "x...."),
        # The second is refused, and still keeps the third out: the quiet period counts every onset.
        ("x..x..x...", 3, "x........."),
        ("x..x...x", 3, "x......x"),
        ("xxx", 0, "xxx"),
        ("....", 5, "...."),
        ("", 5, ""),
    ],
)
def test_an_onset_counts_after_a_quiet_period(begun: str, cooldown: int, expected: str) -> None:
    assert text(onsets(bits(begun), cooldown=cooldown)) == expected


@given(st.lists(st.booleans(), min_size=1, max_size=60), st.integers(0, 8), st.integers(0, 20))
@settings(max_examples=200, deadline=None)
def test_acceptance_remembers_the_quiet_period_and_no_more(begun: list[bool], cooldown: int, cut: int) -> None:
    whole = onsets(np.array(begun), cooldown=cooldown)
    part = onsets(np.array(begun[cut:], dtype=np.bool_), cooldown=cooldown)
    assert part[cooldown:].tolist() == whole[cut + cooldown :].tolist()
    for i, counts in enumerate(whole):
        assert counts == (begun[i] and not any(begun[max(0, i - cooldown) : i]))


def test_the_window_begins_a_bar_later_and_ends_before_its_exit() -> None:
    assert text(window_after(bits("x......"), bits("......."), 3)) == ".xxx..."
    assert text(window_after(bits("x......"), bits("...x..."), 5)) == ".xx...."
    assert text(window_after(bits("x.x...."), bits("......."), 3)) == ".xxxxx."
    assert text(window_after(bits("x..x..."), bits("...x..."), 3)) == ".xx.xxx"


def plain_bands(x: list[float], edges: list[float], margin: float, memory: int) -> list[int]:
    """The definition in words, bar by bar from scratch."""

    def band(value: float) -> int:
        return sum(value >= edge for edge in edges)

    def sure(value: float) -> bool:
        return not any(edge - margin <= value < edge + margin for edge in edges)

    labels = []
    for t, now in enumerate(x):
        if now != now:
            labels.append(-1)
            continue
        past = [value for value in x[max(0, t - memory) : t + 1] if value == value]
        start = max((i for i, value in enumerate(past) if sure(value)), default=0)
        label = band(past[start])
        for value in past[start + 1 :]:
            while label < len(edges) and value >= edges[label] + margin:
                label += 1
            while label > 0 and value < edges[label - 1] - margin:
                label -= 1
        labels.append(label)
    return labels


@given(
    st.lists(st.sampled_from([0.0, 0.28, 0.31, 0.34, 0.37, 0.5, 0.66, 0.69, 0.72, 1.0, float("nan")]), max_size=50),
    st.integers(1, 12),
    st.sampled_from([0.0, 0.03, 0.2]),  # the last is so wide that the margins of the two edges meet
)
@settings(max_examples=300, deadline=None)
def test_bands_follow_their_definition(x: list[float], memory: int, margin: float) -> None:
    edges = [0.33, 0.67]
    found = band_labels(np.array(x, dtype=float), np.array(edges), margin, memory)
    assert found.tolist() == plain_bands(x, edges, margin, memory)


def test_a_label_stays_inside_the_margin() -> None:
    x = np.array([0.2, 0.34, 0.35, 0.37, 0.31, 0.29])
    assert band_labels(x, np.array([0.33]), 0.03, 100).tolist() == [0, 0, 0, 1, 1, 0]


def test_a_cadence_holds_the_label_of_its_last_bar() -> None:
    codes = np.array([5, 6, 7, 8, -1, 9, 4])
    # Bars 10 to 16: multiples of 3 are 12 and 15.
    assert at_cadence(codes, 10, 3).tolist() == [-1, -1, 7, 7, 7, 9, 9]
    assert at_cadence(codes, 10, 1).tolist() == codes.tolist()


def test_the_first_rule_that_holds_names_the_state() -> None:
    assert rule_labels([bits("x..x"), bits(".x.x")]).tolist() == [0, 1, -1, 0]


@pytest.mark.parametrize(
    ("closes", "label"),
    [
        ("2024-01-08 07:59", "asia"),
        ("2024-01-08 08:00", "europe"),  # London in winter
        ("2024-07-08 07:00", "europe"),  # London in summer
        ("2024-07-08 06:59", "asia"),
        ("2024-01-08 14:29", "europe"),
        ("2024-01-08 14:30", "us"),
        ("2024-03-18 13:30", "us"),  # New York already has summer time, London not yet
        ("2024-03-18 07:30", "asia"),
        ("2024-07-08 21:00", "late"),
        ("2024-01-08 21:30", "us"),
        ("2024-01-12 23:59", "late"),
        ("2024-01-13 00:00", "weekend"),
        ("2024-01-14 23:59", "weekend"),
        ("2024-01-15 00:00", "asia"),
    ],
)
def test_sessions_follow_local_clocks(closes: str, label: str) -> None:
    state = lab().states["session"]
    moment = dt.datetime.fromisoformat(closes).replace(tzinfo=dt.UTC)
    words = [*(span.label for span in state.spans), state.weekend_label]
    code = clock_labels(np.array([int(moment.timestamp()) * 1_000_000]), state)[0]
    assert words[code] == label
