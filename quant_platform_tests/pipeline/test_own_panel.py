"""A home of somebody's own returns: its panel, its snapshot, the names users know, and a suite on it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import yaml

from quant_platform.cli.declare import declared_home
from quant_platform.contracts.errors import CalendarError, SpecError
from quant_platform.defs.labs import labs_of
from quant_platform.lake.data_catalog import DataCatalog
from quant_platform.lake.provenance import Provenance
from quant_platform.market.calendar import session_array
from quant_platform.pipeline import suite
from quant_platform.pipeline.baselines import submit_baselines
from quant_platform.pipeline.home import Home
from quant_platform.pipeline.sources import tickers_of
from quant_platform.pipeline.submissions import known_securities, registered_rows
from quant_platform.pipeline.suite_panel import dates_are_current, panel_is_current, run_dates, run_panel
from quant_platform.pipeline.suite_snapshots import (
    make_lightweight_snapshot,
    make_snapshot,
    newest_snapshot,
)
from quant_platform.specification.settings import Settings
from quant_platform_tests.homes import edit
from quant_platform_tests.suites import write_small_specs

NAMES = [f"ID{k:02d}" for k in range(24)]
DAYS = session_array("XNYS", date(2019, 11, 1), date(2020, 12, 31))
YEARS = ("2019", "2020")


@dataclass(frozen=True)
class Own:
    home: Home
    files: Path
    returns: np.ndarray[Any, np.dtype[np.float64]]


def write_files(folder: Path) -> np.ndarray[Any, np.dtype[np.float64]]:
    """Returns of every name on every session, descriptors on the first, the trading dates; exposures are not given."""
    folder.mkdir()
    moves = np.random.default_rng(7).normal(0.0, 0.01, (len(DAYS), len(NAMES))).round(6)
    pl.DataFrame(
        {
            "security_id": np.repeat(NAMES, len(DAYS)),
            "date": pl.Series(np.tile(DAYS, len(NAMES)), dtype=pl.Date),
            "ret": moves.T.ravel(),
        }
    ).write_parquet(folder / "ret.parquet")
    pl.DataFrame(
        {
            "security_id": NAMES,
            "date": [DAYS[0].item()] * len(NAMES),
            "adv": [1e6 * (k + 1) for k in range(len(NAMES))],
            "market_cap": [1e9 * (k + 1) for k in range(len(NAMES))],
            "industry": ["Energy" if k % 2 else "Banks" for k in range(len(NAMES))],
            "in_universe": [1] * len(NAMES),
        }
    ).write_parquet(folder / "descriptor.parquet")
    pl.DataFrame({"date": pl.Series(DAYS, dtype=pl.Date)}).write_csv(folder / "dates.csv")
    return moves


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> Own:
    folder = tmp_path_factory.mktemp("own")
    moves = write_files(folder / "files")
    specs = write_small_specs(folder / "specs")

    def shorter(spec: dict[str, Any]) -> None:
        del spec["panel"]["risk"]
        spec["panel"]["descriptors"]["max_age_days"] = 1000

    edit(specs / "sources" / "panel_files.yaml", shorter)
    declaration = declared_home(folder / "home", "panel_files", "panel_files", {"data": folder / "files"}, specs)
    assert declaration.content["first_session"] == DAYS[0].item()
    assert declaration.content["last_session"] == DAYS[-1].item()
    assert declaration.findings == ()
    (folder / "home").mkdir()
    (folder / "home" / "home.yaml").write_text(yaml.safe_dump(dict(declaration.content)))
    home = Home(Settings(home=folder / "home", specs=specs))
    stamp = Provenance("suite.dates", "1", "", {}, "import", {})
    home.lake.write("suite.dates", None, run_dates(home, ()), stamp)
    done = run_panel(home, YEARS, run_id="import", refresh=False, workers=1)
    assert [one.state for one in done] == ["written", "written"]
    return Own(home, folder / "files", moves)


def test_a_home_of_returns_has_a_panel_and_nothing_that_needs_bars(own: Own) -> None:
    assert own.home.has_equities
    assert not own.home.has_bars
    assert tickers_of(own.home) == []
    assert {lab.name for lab in labs_of(own.home)} == {"suite", "parity"}
    assert known_securities(own.home) == NAMES
    assert dates_are_current(own.home)
    assert panel_is_current(own.home, YEARS)
    (done, _) = run_panel(own.home, YEARS, run_id="again", refresh=False, workers=1)
    assert done.state == "current"


def test_a_snapshot_of_it_gives_the_returns_that_were_given(own: Own) -> None:
    snapshot = make_snapshot(own.home, "US")
    assert newest_snapshot(own.home, "US") == snapshot
    catalog = DataCatalog(snapshot, "US", own.home.settings.home)
    assert catalog.tables == ["suite.dates", "suite.returns", "suite.exposures"]
    returns = catalog.get_retfile().sort("ticker", "session")
    np.testing.assert_array_equal(returns["ret"].to_numpy(), own.returns.T.ravel())
    assert returns["priced"].all()
    assert returns.filter(pl.col("ticker") == "ID03")["adv"].unique().to_list() == [4e6]
    assert catalog.get_retfile("2019")["session"].max() == date(2019, 12, 31)
    others = catalog.get_otherfile()
    assert others.filter(pl.col("ticker") == "ID03")["industry"].unique().to_list() == ["Energy"]
    assert others["value"].null_count() == others.height
    # Over 24 caps the log of the first is the lowest.
    sizes = others.filter(pl.col("session") == DAYS[5].item()).sort("ticker")["size"].to_list()
    logs = np.log(np.arange(1, 25))
    np.testing.assert_allclose(sizes, np.clip((logs - logs.mean()) / logs.std(), -3, 3), rtol=1e-12)
    assert catalog.get_datefile()["session"].to_list() == DAYS.tolist()
    manifest = catalog.get_manifest()
    assert manifest["tables"]["suite.returns"]["securities"] == len(NAMES)  # type: ignore[index]  # JSON of a manifest


def test_a_suite_runs_on_it_beside_the_baselines_that_returns_can_tell(own: Own) -> None:
    snapshot = newest_snapshot(own.home, "US") or make_snapshot(own.home, "US")
    found, missing = submit_baselines(own.home, snapshot)
    assert set(found) == {"reversal_5d", "momentum_12_1", "low_volatility", "size", "high_52w"}
    assert set(missing) == {"value"}
    rows = registered_rows(own.home, "reversal_5d")[1].good
    level = np.cumprod(1.0 + own.returns, axis=0)
    at = 100
    expected = -(level[at] / level[at - 5] - 1.0)
    seen = rows.filter(pl.col("date_sig") == DAYS[at].item()).sort("security_id")
    np.testing.assert_allclose(seen["signal"].to_numpy(), expected, rtol=1e-9)

    key = ("reversal_5d", snapshot)
    suite.run_signals(own.home, [key[0]], run_id="signals", refresh=False, workers=1)
    suite.ask_for(own.home, key, "STANDARD")
    (done,) = suite.run_suites(own.home, [key], run_id="judged", refresh=False, workers=1)
    assert done.state == "written"
    variants = own.home.lake.read("suite.results", [key])["variant"].unique().to_list()
    assert len([name for name in variants if "residindustry" in name]) == 3
    # No opens were given and no variant asks for them; a lightweight snapshot works too.
    small = make_lightweight_snapshot(own.home, "US", names=20, since=date(2020, 1, 2))
    assert DataCatalog(small, "US", own.home.settings.home).get_retfile()["ticker"].n_unique() == 20


def test_an_import_is_refused_with_the_days_that_are_wrong(own: Own, tmp_path: Path) -> None:
    files = tmp_path / "files"
    write_files(files)
    days = [stamp for stamp in DAYS.tolist() if stamp != date(2020, 3, 3)]
    pl.DataFrame({"date": pl.Series([*days, date(2020, 7, 4)], dtype=pl.Date)}).write_csv(files / "dates.csv")
    with pytest.raises(CalendarError, match=r"not the sessions of XNYS(?s:.*)2020-07-04(?s:.*)2020-03-03"):
        declared_home(tmp_path / "home", "panel_files", "panel_files", {"data": files}, own.home.specs)
    named = tmp_path / "specs"
    write_small_specs(named)
    edit(named / "universe" / "panel_files.yaml", lambda spec: spec.update(tickers=["ID01"]))
    with pytest.raises(SpecError, match="those of a panel are in its files"):
        declared_home(tmp_path / "home", "panel_files", "panel_files", {"data": own.files}, named)
