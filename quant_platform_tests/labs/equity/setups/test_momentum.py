from __future__ import annotations

from datetime import date

import numpy as np
import polars as pl
import pytest
from scipy.stats import rankdata

from quant_platform.contracts.tables import table
from quant_platform.labs.equity.setups.momentum import momentum_rank

SESSIONS = [date(2021, 3, 4), date(2021, 3, 5), date(2021, 3, 11), date(2021, 3, 12)]
ENDS = [date(2021, 3, 5), date(2021, 3, 12)]


def features(values: dict[str, list[float]]) -> pl.DataFrame:
    return pl.concat(
        pl.DataFrame({"ticker": [ticker] * 4, "session": SESSIONS, "momentum_12_1": numbers})
        for ticker, numbers in values.items()
    )


def test_ranks_by_hand() -> None:
    """Friday 5th: -0.1, 0.2, 0.2 and a NaN; n = 3, average rank of the tie 2.5, percentile 100 x 2 / 3."""
    found = momentum_rank(
        features(
            {
                "A": [9.0, 0.2, 9.0, 0.5],
                "B": [9.0, -0.1, 9.0, 0.4],
                "C": [9.0, 0.2, 9.0, 0.3],
                "D": [9.0, float("nan"), 9.0, 0.2],
            }
        ),
        ENDS,
        SESSIONS,
    )
    table("signals.momentum_rank").schema.validate(found)
    first = found.filter(pl.col("date_sig") == ENDS[0])
    assert first["ticker"].to_list() == ["A", "B", "C"]
    assert first["rank"].to_list() == [2.5, 1.0, 2.5]
    assert first["percentile"].to_list() == pytest.approx([200 / 3, 50 / 3, 200 / 3])
    assert first["universe_size"].unique().to_list() == [3]
    assert first["week"].unique().to_list() == [date(2021, 3, 1)]
    assert first["date_avail"].unique().to_list() == [date(2021, 3, 11)]
    last = found.filter(pl.col("date_sig") == ENDS[1])
    assert last["percentile"].to_list() == [87.5, 62.5, 37.5, 12.5]
    assert last["date_avail"].null_count() == 4


def test_only_members_of_the_date_are_ranked() -> None:
    data = features({"A": [0.0, 3.0, 0.0, 3.0], "B": [0.0, 2.0, 0.0, 2.0], "C": [0.0, 1.0, 0.0, 1.0]})
    members = pl.DataFrame({"ticker": ["A", "B", "B", "C"], "session": [ENDS[0], ENDS[0], ENDS[1], ENDS[1]]})
    found = momentum_rank(data, ENDS, SESSIONS, members=members)
    assert found.select("date_sig", "ticker", "percentile").rows() == [
        (ENDS[0], "A", 75.0), (ENDS[0], "B", 25.0), (ENDS[1], "B", 75.0), (ENDS[1], "C", 25.0)
    ]  # fmt: skip


def test_other_sessions_and_later_weeks_change_nothing() -> None:
    rng = np.random.default_rng(2)
    values = {f"T{i:02}": rng.standard_normal(4).round(1).tolist() for i in range(40)}
    full = momentum_rank(features(values), ENDS, SESSIONS).filter(pl.col("date_sig") == ENDS[0])
    cut = features(values).filter(pl.col("session") <= ENDS[0])
    assert momentum_rank(cut, ENDS[:1], SESSIONS).equals(full)
    expected = rankdata([values[ticker][1] for ticker in full["ticker"]])
    assert full["rank"].to_list() == expected.tolist()
