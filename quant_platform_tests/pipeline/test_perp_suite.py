"""A home of perpetuals is judged over days in UTC: panel, snapshot, baselines and a suite, from clean rows on."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import yaml

from quant_platform.contracts.errors import PartitionMissing, SpecError
from quant_platform.defs.labs import labs_of
from quant_platform.defs.schemes import YEARS
from quant_platform.lake.data_catalog import DataCatalog
from quant_platform.lake.provenance import Provenance
from quant_platform.pipeline import suite
from quant_platform.pipeline.baselines import submit_baselines
from quant_platform.pipeline.home import Home
from quant_platform.pipeline.submissions import known_securities, registered_rows
from quant_platform.pipeline.suite_panel import dates_are_current, run_dates, run_panel
from quant_platform.pipeline.suite_snapshots import default_region, make_snapshot, newest_snapshot
from quant_platform.specification.settings import Settings
from quant_platform_tests.suites import write_small_specs

SYMBOLS = [f"C{k:02d}USDT" for k in range(16)]
FIRST, DAYS = date(2023, 1, 1), 400


def rows_of(symbol: str, seed: int) -> pl.DataFrame:
    """Two bars a day: the one that opens at midnight, when funding settles, and the last one."""
    rng = np.random.default_rng(seed)
    close = 100.0 * np.exp(np.cumsum(rng.normal(0.0, 0.03, DAYS)))
    opened = np.append(100.0, close[:-1])
    midnight = [datetime(FIRST.year, FIRST.month, FIRST.day, tzinfo=UTC) + timedelta(days=k) for k in range(DAYS)]
    first = pl.DataFrame({"bar": midnight, "close": opened, "funding_settle": [1.0] * DAYS})
    last = pl.DataFrame({"bar": [at + timedelta(minutes=1435) for at in midnight], "close": close}).with_columns(
        pl.lit(0.0).alias("funding_settle")
    )
    both = pl.concat([first, last], how="diagonal").sort("bar")
    return both.select(
        pl.lit(symbol).alias("symbol"),
        pl.col("bar").dt.strftime("%Y-%m").alias("month"),
        pl.col("bar").cast(pl.Datetime("us", "UTC")),
        *(pl.col("close").alias(name) for name in ("open", "high", "low", "close")),
        pl.lit(1e6).alias("quote_volume"),
        pl.Series("funding_rate", np.repeat(rng.normal(0.0, 2e-4, DAYS), 2)),
        pl.col("funding_settle"),
    )


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Home:
    folder = tmp_path_factory.mktemp("perps")
    specs = write_small_specs(folder / "specs")
    months = sorted({f"{FIRST + timedelta(days=k):%Y-%m}" for k in range(DAYS)})
    declared = {
        "source": "perp_files",
        "location": str(folder),
        "symbols": SYMBOLS,
        "first_month": months[0],
        "last_month": months[-1],
    }
    (folder / "home").mkdir()
    (folder / "home" / "perps.yaml").write_text(yaml.safe_dump(declared))
    made = Home(Settings(home=folder / "home", specs=specs))
    stamp = Provenance("clean.market_5m", "1", "", {}, "import", {})
    for seed, symbol in enumerate(SYMBOLS):
        for (month,), part in rows_of(symbol, seed).partition_by("month", as_dict=True).items():
            made.lake.write("clean.market_5m", (symbol, str(month)), part, stamp)
    return made


def test_a_home_of_perpetuals_is_judged_from_its_days_to_a_verdict(home: Home) -> None:
    assert (home.judges_on, home.suite_exchange, default_region(home)) == ("perpetuals", "UTC", "CRYPTO")
    assert "suite" in {lab.name for lab in labs_of(home)}
    definition = YEARS.definition(home)
    assert definition is not None
    years = list(definition.get_partition_keys())
    assert years == ["2023", "2024"]
    assert known_securities(home) == SYMBOLS
    home.lake.write("suite.dates", None, run_dates(home, ()), Provenance("suite.dates", "1", "", {}, "run", {}))
    assert dates_are_current(home)
    assert [one.state for one in run_panel(home, years, run_id="run", refresh=False, workers=1)] == ["written"] * 2

    snapshot = make_snapshot(home, "CRYPTO")
    assert newest_snapshot(home, "CRYPTO") == snapshot
    catalog = DataCatalog(snapshot, "CRYPTO", home.settings.home)
    assert catalog.get_datefile()["session"].to_list() == [FIRST + timedelta(days=k) for k in range(DAYS)]
    returns = catalog.get_retfile().filter(pl.col("ticker") == SYMBOLS[3]).sort("session")
    bars = rows_of(SYMBOLS[3], 3)
    close = bars.filter(pl.col("bar").dt.hour() == 23)["close"].to_numpy()
    rate = bars["funding_rate"].to_numpy()[::2]
    # Settled at midnight at the close before: a long earns the move less the rate.
    np.testing.assert_allclose(returns["ret"].to_numpy()[1:], close[1:] / close[:-1] - 1.0 - rate[1:], rtol=1e-9)
    assert returns["adv"].drop_nulls().unique().to_list() == [2e6]

    found, missing = submit_baselines(home, snapshot)
    # With two bars a day nobody knows what settled between them, so no day has a sum of rates.
    assert set(missing) == {"funding_crowding_fade", "funding_fade", "order_flow_imbalance"}
    assert set(found) == {"time_series_momentum", "cross_sectional_momentum", "mean_reversion"}
    rows = registered_rows(home, "mean_reversion")[1].good
    # Every day is a session: a value of Friday may be acted on from Saturday.
    assert (rows["date_avail"] - rows["date_sig"]).unique().to_list() == [timedelta(days=1)]

    key = ("mean_reversion", snapshot)
    suite.run_signals(home, [key[0]], run_id="signals", refresh=False, workers=1)
    suite.ask_for(home, key, "STANDARD")
    (done,) = suite.run_suites(home, [key], run_id="judged", refresh=False, workers=1)
    assert done.state == "written"
    results = home.lake.read("suite.results", [key])
    # There are no industries: these variants are not computed as something else.
    assert not results["variant"].str.contains("industry").any()
    overall = results.filter(pl.col("slice_kind") == "overall").row(0, named=True)
    daily = home.lake.read("suite.daily", [key]).filter(pl.col("variant") == overall["variant"])
    assert overall["ann_return_net"] == pytest.approx(365 * daily["net"].mean(), rel=1e-12)
    others = home.lake.read("suite.correlations", [key])["baseline"].to_list()
    assert set(others) == set(found) - {"mean_reversion"}


def test_without_perpetuals_and_with_an_unknown_baseline_it_says_what_to_do(home: Home, tmp_path: Path) -> None:
    with pytest.raises(SpecError, match="did you mean 'funding_fade'"):
        submit_baselines(home, "2024-01-01-CRYPTO-v1", ["funding_fad"])
    (tmp_path / "empty").mkdir()
    (tmp_path / "empty" / "perps.yaml").write_bytes((home.settings.home / "perps.yaml").read_bytes())
    with pytest.raises(PartitionMissing, match="quant run perp_graph"):
        run_dates(Home(Settings(home=tmp_path / "empty", specs=home.specs)), ())
