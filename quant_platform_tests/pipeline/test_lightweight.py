"""A lightweight snapshot: who is in it, that nothing else is, and that a suite on it carries its id."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import polars as pl
import pytest

from quant_platform.contracts.errors import SnapshotInvalid
from quant_platform.lake import snapshots
from quant_platform.lake.data_catalog import DataCatalog
from quant_platform.lake.manifest import load
from quant_platform.pipeline import suite, suite_snapshots
from quant_platform.pipeline.submissions import submit, validate_file
from quant_platform_tests.suites import SIGNAL, Stored, reversal

SINCE = date(2018, 7, 2)
NAMES = 12


def biggest(stored: Stored) -> list[str]:
    """The names with the highest median of the trailing traded value, counted in pandas."""
    rows = stored.home.lake.read("suite.returns").to_pandas()
    rows = rows[rows["priced"] & (rows["session"] >= SINCE.isoformat())].dropna(subset=["adv"])
    ranked = rows.groupby("ticker")["adv"].median().sort_values(ascending=False)
    return sorted(ranked.index[:NAMES])


def test_it_holds_the_names_that_traded_most_and_says_so(stored_market: Stored, tmp_path: Path) -> None:
    home = stored_market.copy(tmp_path)
    made = suite_snapshots.make_lightweight_snapshot(home, "US", names=NAMES, since=SINCE)
    manifest = load(suite_snapshots.snapshots_folder(home), made)
    assert manifest.selection is not None
    assert list(manifest.selection.securities) == biggest(stored_market)
    assert "12 of 20 names with the highest median ADV from 2018-07-02 on" in manifest.selection.rule
    catalog = DataCatalog(made, "US", home.settings.home)
    whole = home.lake.read("suite.returns")
    expected = whole.filter(pl.col("ticker").is_in(biggest(stored_market)) & (pl.col("session") >= SINCE))
    assert catalog.get_retfile().equals(expected)
    said = catalog.get_manifest()["tables"]
    assert isinstance(said, dict)
    assert (said["suite.returns"]["rows"], said["suite.returns"]["securities"]) == (expected.height, NAMES)
    assert said["suite.returns"]["date_from"] == str(expected["session"].min())
    assert said["suite.returns"]["columns"] == whole.columns
    # Baselines look back: the bars of these names keep their history.
    assert said["clean.equity_bars"]["date_from"] < SINCE.isoformat()
    with catalog.connect() as connection:
        (seen,) = connection.execute("select count(distinct ticker) from clean.equity_bars").fetchone() or (0,)
    assert seen == NAMES
    # It is proved by its own hashes, and a copy of it needs nothing else.
    assert snapshots.verify(home.lake, suite_snapshots.snapshots_folder(home), made) == []
    target = snapshots.export(home.lake, suite_snapshots.snapshots_folder(home), made, tmp_path / "sent")
    assert DataCatalog(made, "US", target).get_retfile().equals(expected)
    file = next((suite_snapshots.snapshots_folder(home) / made).rglob("suite/returns/*/*.parquet"))
    file.write_bytes(file.read_bytes() + b"x")
    assert [one.kind for one in snapshots.verify(home.lake, suite_snapshots.snapshots_folder(home), made)] == ["hash"]
    # Nobody gets it without asking, and nothing of the lake is kept for its sake.
    assert suite_snapshots.newest_snapshot(home, "US") == stored_market.snapshot
    named = snapshots.named_files(home.lake, suite_snapshots.snapshots_folder(home))
    assert not [path for path in named if made in str(path)]


def test_a_suite_on_it_carries_its_id_and_says_what_it_holds(stored_market: Stored, tmp_path: Path) -> None:
    home = stored_market.copy(tmp_path)
    path = tmp_path / "rev5.csv"
    reversal(home.lake.read("clean.equity_bars")).write_csv(path)
    submit(home, path, validate_file(home, path), name=SIGNAL)
    made = suite_snapshots.make_lightweight_snapshot(home, "US", names=NAMES, since=SINCE)
    suite.ask_for(home, (SIGNAL, made), "QUICK")
    (done,) = suite.run_suites(home, [(SIGNAL, made)], run_id="small", refresh=False, workers=1)
    assert done.state == "written"
    daily = home.lake.read("suite.daily", [(SIGNAL, made)])
    assert set(daily["snapshot_id"]) == {made}
    assert min(daily["session"]) >= SINCE
    measured = home.lake.read("suite.diagnostics", [(SIGNAL, made)]).filter(pl.col("measure") == "names_mean")
    assert 10 <= measured["value"].min() <= measured["value"].max() <= NAMES
    page = suite.tear_sheet_path(home, (SIGNAL, made)).read_text(encoding="utf-8")
    assert "the 12 of 20 names with the highest median ADV from 2018-07-02 on, chosen with hindsight" in page


def test_without_a_panel_or_a_traded_value_nothing_is_written(stored_market: Stored, tmp_path: Path) -> None:
    home = stored_market.copy(tmp_path)
    before = sorted(path.name for path in suite_snapshots.snapshots_folder(home).iterdir())
    with pytest.raises(SnapshotInvalid, match="no security has a traded value from 2030-01-01 on"):
        suite_snapshots.make_lightweight_snapshot(home, "US", since=date(2030, 1, 1))
    for folder in (home.settings.lake / "suite" / "returns").iterdir():
        folder.rename(folder.with_name(f"_{folder.name}"))
    with pytest.raises(SnapshotInvalid, match=r"does not hold suite\.returns"):
        suite_snapshots.make_lightweight_snapshot(home, "US")
    assert sorted(path.name for path in suite_snapshots.snapshots_folder(home).iterdir()) == before
