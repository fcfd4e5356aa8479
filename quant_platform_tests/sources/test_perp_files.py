from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from quant_platform.contracts.errors import SourceMalformed, SourceNotFound, SpecError
from quant_platform.contracts.findings import Finding
from quant_platform.contracts.schemas import perp
from quant_platform.market.perp_cleaning import clean_perp_bars
from quant_platform.market.perp_market import market_5m
from quant_platform.sources.open_perp import open_perp_source
from quant_platform.sources.perp_files import PerpFilesSource
from quant_platform.sources.perp_protocol import PerpSource
from quant_platform.specification.loading import load_spec
from quant_platform.specification.perp_sources import PerpSourceSpec, SpotPair
from quant_platform_tests.market.perp_builders import cleaning, joins
from quant_platform_tests.sources.builders import SPECS


def shipped(**changes: Any) -> PerpSourceSpec:
    spec = load_spec(SPECS / "perp_files.yaml", PerpSourceSpec)
    assert spec.perp_files is not None
    return spec.model_copy(update={"perp_files": spec.perp_files.model_copy(update=changes)})


def candles(first: datetime, last: datetime, every: str = "5m") -> pl.DataFrame:
    stamps = pl.datetime_range(first, last, every, time_unit="ns", time_zone="UTC", eager=True)
    price = pl.Series([100.0 + 0.01 * k for k in range(len(stamps))])
    return pl.DataFrame(
        {"date": stamps, "open": price, "high": price + 1, "low": price - 1, "close": price + 0.5, "volume": price}
    )


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    both = candles(datetime(2024, 1, 30, tzinfo=UTC), datetime(2024, 2, 2, tzinfo=UTC))
    both.write_parquet(tmp_path / "BTC_USDT_USDT-5m-futures.parquet")
    both.head(100).write_parquet(tmp_path / "BTC_USDT-5m.parquet")
    rates = candles(datetime(2024, 1, 30, tzinfo=UTC), datetime(2024, 2, 2, tzinfo=UTC), "8h").with_columns(
        pl.col("date") + pl.duration(milliseconds=7), open=1e-4, high=0.0, low=0.0, close=0.0, volume=0.0
    )
    rates.write_parquet(tmp_path / "BTC_USDT_USDT-8h-funding_rate.parquet")
    return tmp_path


def test_a_folder_of_files_is_a_source(folder: Path) -> None:
    source = open_perp_source(shipped(), folder)
    assert isinstance(source, PerpSource)
    assert not source.simulated
    assert source.symbols() == ["BTCUSDT"]
    assert source.months("BTCUSDT") == ["2024-01", "2024-02"]
    february = perp.RawPerpBars.validate(source.bars("BTCUSDT", "2024-02"))
    assert february.height == 289
    assert february["source_row"].to_list() == list(range(289))
    first = february.row(0, named=True)
    assert first["open_time"] == datetime(2024, 2, 1, tzinfo=UTC)
    assert first["known_at"] == datetime(2024, 2, 1, 0, 5, tzinfo=UTC)
    assert first["open"] == pytest.approx(105.76)
    assert first["taker_buy_volume"] is None
    assert perp.RawSpotBars.validate(source.spot_bars("BTCUSDT", "2024-01")).height == 100
    settled = perp.RawFunding.validate(source.funding("BTCUSDT", "2024-01"))
    assert settled["settle_time"][1] == datetime(2024, 1, 30, 8, 0, 0, 7000, tzinfo=UTC)
    assert settled["funding_rate"].to_list() == [1e-4] * 6
    for kind in ("open_interest", "liquidations", "book"):
        assert getattr(source, kind)("BTCUSDT", "2024-01").height == 0


def test_feather_says_the_same_as_parquet(folder: Path) -> None:
    name = "BTC_USDT_USDT-5m-futures"
    pl.read_parquet(folder / f"{name}.parquet").write_ipc(folder / f"{name}.feather", compression="lz4")
    feather = PerpFilesSource(shipped(perp="*_USDT-5m-futures.feather"), folder)
    assert feather.bars("BTCUSDT", "2024-01").equals(PerpFilesSource(shipped(), folder).bars("BTCUSDT", "2024-01"))


def test_kinds_without_a_file_are_empty(folder: Path) -> None:
    (folder / "BTC_USDT-5m.parquet").unlink()
    source = PerpFilesSource(shipped(funding=None), folder)
    assert source.spot_bars("BTCUSDT", "2024-01").height == 0
    assert source.funding("BTCUSDT", "2024-01").schema == perp.RawFunding.create_empty().schema


def test_what_is_not_there_is_not_found(folder: Path) -> None:
    source = PerpFilesSource(shipped(), folder)
    with pytest.raises(SourceNotFound, match="no symbol 'XRPUSDT'"):
        source.months("XRPUSDT")
    with pytest.raises(SourceNotFound, match=r"does not exist[\s\S]*ETH_USDT_USDT-5m-futures.parquet"):
        source.months("ETHUSDT")
    with pytest.raises(SourceNotFound, match=r"no month '2024-03'[\s\S]*2024-01 to 2024-02"):
        source.bars("BTCUSDT", "2024-03")
    with pytest.raises(SourceNotFound, match="without a folder"):
        open_perp_source(shipped())
    with pytest.raises(SourceNotFound, match="folder of the source does not exist"):
        open_perp_source(shipped(), folder / "gone")
    with pytest.raises(SpecError, match="no section"):
        PerpFilesSource(shipped().model_copy(update={"perp_files": None}), folder).symbols()


def test_a_missing_month_names_the_file_and_the_month(folder: Path) -> None:
    path = folder / "BTC_USDT_USDT-5m-futures.parquet"
    late = candles(datetime(2024, 4, 1, tzinfo=UTC), datetime(2024, 4, 2, tzinfo=UTC))
    pl.concat([pl.read_parquet(path), late]).write_parquet(path)
    with pytest.raises(SourceMalformed, match=r"2024-03[\s\S]*BTC_USDT_USDT-5m-futures[\s\S]*1 of 4 months"):
        PerpFilesSource(shipped(), folder).months("BTCUSDT")


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda frame: frame.drop("close"), "does not have the column 'close'"),
        (lambda frame: frame.with_columns(pl.col("date").dt.replace_time_zone(None)), "not a time with a zone"),
        (lambda frame: frame.with_columns(pl.col("open").cast(pl.String)), "columns are not numbers: open"),
        (lambda frame: frame.head(0), "the file has no rows"),
    ],
)
def test_a_file_of_another_layout_is_refused(folder: Path, spoil: Any, message: str) -> None:
    path = folder / "BTC_USDT_USDT-5m-futures.parquet"
    spoil(pl.read_parquet(path)).write_parquet(path)
    with pytest.raises((SourceMalformed, SourceNotFound), match=message):
        PerpFilesSource(shipped(), folder).bars("BTCUSDT", "2024-01")


@pytest.mark.parametrize("every", ["1m", "15m", "1h"])
def test_a_changed_interval_names_file_row_and_time(folder: Path, every: str) -> None:
    path = folder / "BTC_USDT_USDT-5m-futures.parquet"
    before = candles(datetime(2024, 1, 30, tzinfo=UTC), datetime(2024, 1, 31, tzinfo=UTC))
    after = candles(datetime(2024, 1, 31, 1, tzinfo=UTC), datetime(2024, 2, 1, tzinfo=UTC), every)
    pl.concat([before, after]).write_parquet(path)
    seconds = {"1m": 60, "15m": 900, "1h": 3600}[every]
    # The row named is the first too near to, or far from, the one before it. An hour lies between the stretches.
    first = {"1m": "290, 2024-01-31 01:01", "15m": "290, 2024-01-31 01:15", "1h": "289, 2024-01-31 01:00"}[every]
    with pytest.raises(SourceMalformed, match=rf"bars lie {seconds} seconds apart, not 300[\s\S]*row {first}"):
        PerpFilesSource(shipped(), folder).bars("BTCUSDT", "2024-01")


def test_holes_and_strays_are_left_to_cleaning(folder: Path) -> None:
    path = folder / "BTC_USDT_USDT-5m-futures.parquet"
    frame = pl.read_parquet(path)
    spoilt = pl.concat([frame[:40], frame[39:50], frame[60:70], frame[75:]])
    spoilt.write_parquet(path)
    raw = PerpFilesSource(shipped(), folder).bars("BTCUSDT", "2024-01")
    result = clean_perp_bars(raw, cleaning(), listed_from=datetime(2024, 1, 30, tzinfo=UTC))
    assert result.quarantine["rule"].to_list() == ["duplicate_key"]
    assert result.counts["vendor_hole"] == 15


def test_a_truncated_file_is_refused(folder: Path) -> None:
    path = folder / "BTC_USDT_USDT-5m-futures.parquet"
    path.write_bytes(path.read_bytes()[:2000])
    with pytest.raises(SourceMalformed, match=r"not readable[\s\S]*BTC_USDT_USDT-5m-futures.parquet"):
        PerpFilesSource(shipped(), folder).bars("BTCUSDT", "2024-01")


def test_funding_in_another_column_or_unit_or_twice_is_refused(folder: Path) -> None:
    path = folder / "BTC_USDT_USDT-8h-funding_rate.parquet"
    rates = pl.read_parquet(path)
    rates.with_columns(open=pl.lit(1.0)).write_parquet(path)
    with pytest.raises(SourceMalformed, match=r"no funding rate[\s\S]*10 of 10 rows"):
        PerpFilesSource(shipped(), folder).funding("BTCUSDT", "2024-01")
    pl.concat([rates, rates.head(1)]).write_parquet(path)
    with pytest.raises(SourceMalformed, match=r"a settlement stands twice[\s\S]*2 of 11 rows"):
        PerpFilesSource(shipped(), folder).funding("BTCUSDT", "2024-01")


@pytest.mark.real_data
@pytest.mark.parametrize(
    ("folder", "symbols", "bars", "settlements", "halts", "largest_late_ms"),
    [
        (
            "binance_um_5m_2023_2024",
            {"BTCUSDT": 143_900, "ETHUSDT": 143_901, "LTCUSDT": 143_902},
            17,
            1498,
            ["2023-09-12 08:35", "2023-09-12 08:40", "2023-09-12 08:45"],
            29,
        ),
        (
            "binance_spot_perp_5m_2025q1",
            {"BTCUSDT": 25_920, "ETHUSDT": 25_920},
            3,
            270,
            ["2025-01-29 01:25", "2025-01-29 01:30"],
            15,
        ),
    ],
)
def test_the_real_files_have_no_gap_but_the_halts(
    shared_data: Path,
    folder: str,
    symbols: dict[str, int],
    bars: int,
    settlements: int,
    halts: list[str],
    largest_late_ms: int,
) -> None:
    source = PerpFilesSource(shipped(), shared_data / folder)
    assert source.symbols() == sorted(symbols)
    for symbol, count in symbols.items():
        months = source.months(symbol)
        assert len(months) == bars
        raw = [source.bars(symbol, month) for month in months]
        last = raw[-1]["known_at"].max()
        assert isinstance(last, datetime)
        cleaned = [clean_perp_bars(frame, cleaning(), listed_to=last) for frame in raw]
        assert sum(result.counts["delivered"] for result in cleaned) == count
        assert sum(result.quarantine.height for result in cleaned) == 0
        grid = pl.concat([result.bars for result in cleaned])
        missing = grid.filter(pl.col("missing_reason").is_not_null())
        assert missing["missing_reason"].cast(pl.String).unique().to_list() == ["halt"]
        assert missing["bar"].dt.strftime("%Y-%m-%d %H:%M").to_list() == halts
        funding = pl.concat([source.funding(symbol, month) for month in months])
        assert (funding["settle_time"].dt.epoch("ms") % 28_800_000).max() == largest_late_ms
        joined = market_5m(grid, spec=joins(), funding=funding)
        assert joined["funding_settle"].fill_nan(0.0).sum() == settlements == funding.height
        settles = joined.filter(pl.col("funding_settle") == 1.0)["bar"]
        assert (settles.dt.epoch("s") % 28_800 == 0).all()


def report(source: PerpFilesSource) -> dict[str, Finding]:
    return {found.kind: found for found in source.reading_report()}


@pytest.mark.parametrize("frame", ["1h", "4h", "8h", "1d"])
def test_a_funding_file_of_any_time_frame_is_found(folder: Path, frame: str) -> None:
    (folder / "BTC_USDT_USDT-8h-funding_rate.parquet").rename(folder / f"BTC_USDT_USDT-{frame}-funding_rate.parquet")
    source = PerpFilesSource(shipped(), folder)
    assert source.funding("BTCUSDT", "2024-01").height == 6
    covered = report(source)["funding_coverage"]
    assert (covered.rows, covered.total) == (9, 9)
    assert "8 hours apart" in covered.what


def test_two_funding_files_of_a_symbol_are_refused(folder: Path) -> None:
    rates = pl.read_parquet(folder / "BTC_USDT_USDT-8h-funding_rate.parquet")
    rates.write_ipc(folder / "BTC_USDT_USDT-1h-funding_rate.feather")
    with pytest.raises(SourceMalformed, match=r"2 funding files of BTCUSDT[\s\S]*1h-funding[\s\S]*8h-funding"):
        PerpFilesSource(shipped(), folder).funding("BTCUSDT", "2024-01")


def test_names_that_match_nothing_and_funding_that_is_not_there_are_counted(folder: Path) -> None:
    (folder / "BTC_USDT_USDT-8h-funding_rate.parquet").unlink()
    bars = pl.read_parquet(folder / "BTC_USDT_USDT-5m-futures.parquet")
    bars.write_parquet(folder / "DOGE_USDT_USDT-5m-futures.parquet")
    found = report(PerpFilesSource(shipped(), folder))
    assert found["symbol_without_file"].examples == ("ETHUSDT (ETH_USDT)", "LTCUSDT (LTC_USDT)")
    assert found["file_of_no_symbol"].examples == ("DOGE_USDT_USDT-5m-futures.parquet",)
    assert (found["funding_missing"].rows, found["funding_missing"].total) == (2, 2)
    assert found["ends_before_the_month"].where == "BTCUSDT"


@pytest.mark.parametrize("zone", ["Etc/UTC", "Europe/Berlin", "Asia/Tokyo"])
def test_stamps_of_any_zone_are_instants(folder: Path, zone: str) -> None:
    path = folder / "BTC_USDT_USDT-5m-futures.parquet"
    want = PerpFilesSource(shipped(), folder).bars("BTCUSDT", "2024-01")
    pl.read_parquet(path).with_columns(pl.col("date").dt.convert_time_zone(zone)).write_parquet(path)
    assert PerpFilesSource(shipped(), folder).bars("BTCUSDT", "2024-01").equals(want)


def test_spot_in_other_units(folder: Path) -> None:
    spot = pl.read_parquet(folder / "BTC_USDT-5m.parquet")
    (folder / "BTC_USDT-5m.parquet").unlink()
    spot.write_parquet(folder / "B_USDT-5m.parquet")
    source = PerpFilesSource(shipped(spot_symbols={"BTCUSDT": SpotPair(symbol="B_USDT", units=1000.0)}), folder)
    first = perp.RawSpotBars.validate(source.spot_bars("BTCUSDT", "2024-01")).row(0, named=True)
    assert (first["symbol"], first["open"], first["volume"]) == ("BTCUSDT", 100_000.0, 0.1)
