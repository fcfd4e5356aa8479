"""An event detected by itself is what the whole lab detects; with a higher threshold it is rarer."""

from __future__ import annotations

import polars as pl
from polars.testing import assert_frame_equal

from quant_platform.labs.events.backtest.robustness import scaled_thresholds
from quant_platform.labs.events.detection.compute import compute_events, onsets_of
from quant_platform_tests.labs.events.detection.worlds import lab, market


def test_one_event_alone_is_what_the_lab_detects_and_a_higher_bar_is_met_less_often() -> None:
    made = market(3, rows=9_000)
    whole = compute_events(made, lab())
    fired, rarer = 0, 0
    for event in lab().active.values():
        columns = ["symbol", "month", "bar", event.id, f"{event.id}__direction", f"{event.id}__intensity"]
        expected = pl.concat(whole.symbols[name].flags.select(columns) for name in sorted(made))
        alone = onsets_of(event, made, whole.context, lab())
        assert_frame_equal(alone, expected, check_exact=True)
        harder = scaled_thresholds(event, 1.5) if event.id in ("BAND_BREAK", "ZSCORE_STRETCH") else None
        if harder is not None:
            found = onsets_of(harder, made, whole.context, lab())
            fired += int(expected[event.id].sum())
            rarer += int(found[event.id].sum())
    assert 0 < rarer < fired
