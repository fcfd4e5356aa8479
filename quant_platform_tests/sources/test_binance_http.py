"""Binance's archive over HTTP: fetched once, checked, asked again where waiting helps."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from quant_platform.contracts.errors import (
    SourceMalformed,
    SourceNotFound,
    SourceRateLimited,
    SourceUnavailable,
    SpecError,
)
from quant_platform.contracts.schemas import perp
from quant_platform.market.perp_cleaning import clean_perp_bars
from quant_platform.sources.binance import Archive, BinanceSource, layout
from quant_platform.sources.open_perp import open_perp_source
from quant_platform.specification.loading import load_spec
from quant_platform.specification.perp_sources import PerpSourceSpec
from quant_platform_tests.market.perp_builders import cleaning
from quant_platform_tests.sources.binance_files import in_folder, section, sign
from quant_platform_tests.sources.builders import SPECS


@dataclass
class Server:
    """A local server of a folder that counts what it is asked and fails where it is told to."""

    folder: Path
    asked: list[tuple[str, str]] = field(default_factory=list)
    fail: dict[str, list[int]] = field(default_factory=dict)
    cut: set[str] = field(default_factory=set)
    retry_after: int = 0
    connections: set[tuple[str, int]] = field(default_factory=set)
    url: str = ""

    def names(self, method: str = "GET") -> list[str]:
        return [name.rsplit("/", 1)[1] for verb, name in self.asked if verb == method]


class Handler(SimpleHTTPRequestHandler):
    def __init__(self, *args: Any, server_state: Server, **kwargs: Any) -> None:
        self.state = server_state
        self.protocol_version = "HTTP/1.1"
        super().__init__(*args, directory=str(server_state.folder), **kwargs)

    def do_GET(self) -> None:  # the name http.server calls
        self.state.asked.append(("GET", self.path))
        codes = self.state.fail.get(self.path.rsplit("/", 1)[1])
        self.state.connections.add(self.client_address)
        if codes and self.state.retry_after:
            self.send_response(codes.pop(0))
            self.send_header("Retry-After", str(self.state.retry_after))
            self.send_header("Content-Length", "0")
            self.end_headers()
        elif codes:
            self.send_error(codes.pop(0))
        elif self.path.rsplit("/", 1)[1] in self.state.cut:
            content = (self.state.folder / self.path.lstrip("/")).read_bytes()
            self.send_response(200)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content[: len(content) // 2])
            self.close_connection = True
        else:
            super().do_GET()

    def do_HEAD(self) -> None:
        self.state.asked.append(("HEAD", self.path))
        self.state.connections.add(self.client_address)
        super().do_HEAD()

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing."""


@pytest.fixture
def server(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    state = Server(folder)
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Handler, server_state=state)) as running:
        state.url = f"http://127.0.0.1:{running.server_address[1]}"
        thread = threading.Thread(target=running.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield state
        running.shutdown()
        thread.join()


def over_http(server: Server, cache: Path, **changes: Any) -> BinanceSource:
    spec = load_spec(SPECS / "binance.yaml", PerpSourceSpec)
    wanted = section(base_url=server.url, **changes)
    source = open_perp_source(spec.model_copy(update={"binance": wanted}), cache=cache)
    assert isinstance(source, BinanceSource)
    return source


def test_http_gives_what_the_folder_gives_and_fetches_nothing_twice(
    server: Server, folder: Path, tmp_path: Path
) -> None:
    cache = tmp_path / "cache"
    source = over_http(server, cache)
    assert source.months("AAAUSDT") == ["2024-01", "2024-02", "2024-03"]
    assert server.names() == []
    assert source.bars("AAAUSDT", "2024-02").equals(in_folder(folder).bars("AAAUSDT", "2024-02"))
    assert sorted(server.names()) == ["AAAUSDT-5m-2024-02.zip", "AAAUSDT-5m-2024-02.zip.CHECKSUM"]

    again = over_http(server, cache)
    assert again.months("AAAUSDT") == ["2024-01", "2024-02", "2024-03"]
    assert again.bars("AAAUSDT", "2024-02").height == 600
    assert len(server.names()) == 2
    assert "AAAUSDT-5m-2024-02.zip" not in server.names("HEAD")[3:]
    assert list(cache.rglob("*.part")) == []


def test_a_damaged_file_in_the_cache_is_fetched_again(server: Server, tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    over_http(server, cache).bars("AAAUSDT", "2024-01")
    kept = cache / layout.klines("perp", "AAAUSDT", "5m", "2024-01")
    kept.write_bytes(kept.read_bytes()[:100])
    assert over_http(server, cache).bars("AAAUSDT", "2024-01").height == 600
    assert server.names().count("AAAUSDT-5m-2024-01.zip") == 2


def test_a_file_that_does_not_match_is_never_kept(server: Server, folder: Path, tmp_path: Path) -> None:
    path = folder / layout.klines("perp", "AAAUSDT", "5m", "2024-01")
    path.write_bytes(path.read_bytes() + b"tail")
    cache = tmp_path / "cache"
    with pytest.raises(SourceMalformed, match=rf"does not match its checksum[\s\S]*{server.url}[\s\S]*2024-01.zip"):
        over_http(server, cache).bars("AAAUSDT", "2024-01")
    assert list(cache.rglob("*.zip")) == []
    assert over_http(server, cache).bars("AAAUSDT", "2024-02").height == 600


def test_failures_that_pass_are_tried_again_and_others_end(server: Server, tmp_path: Path) -> None:
    name = "AAAUSDT-5m-2024-01.zip"
    server.fail[name] = [500, 503]
    assert over_http(server, tmp_path / "a").bars("AAAUSDT", "2024-01").height == 600
    assert server.names().count(name) == 3
    server.fail[name] = [429] * 3
    with pytest.raises(SourceRateLimited, match="status 429"):
        over_http(server, tmp_path / "b").bars("AAAUSDT", "2024-01")
    server.fail[name] = [403]
    with pytest.raises(SourceUnavailable, match="status 403"):
        over_http(server, tmp_path / "c").bars("AAAUSDT", "2024-01")
    server.fail[name] = []
    server.cut.add(name)
    with pytest.raises(SourceUnavailable, match=r"could not be read[\s\S]*2024-01.zip[\s\S]*3 attempts"):
        over_http(server, tmp_path / "d").bars("AAAUSDT", "2024-01")
    assert list((tmp_path / "d").rglob("*.zip")) == []


def test_the_waits_double_up_to_the_longest_and_the_server_may_ask_for_more(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    waits: list[float] = []
    monkeypatch.setattr("urllib3.util.retry.time.sleep", waits.append)
    server.fail["gone.zip"] = [500] * 9
    wanted = section(first_delay_seconds=0.5, max_delay_seconds=1.5, max_attempts=4)
    with pytest.raises(SourceUnavailable, match="status 500"):
        Archive(tmp_path, wanted, server.url).find("gone.zip")
    assert waits == [0.5, 1.0, 1.5]
    waits.clear()
    server.fail["gone.zip"] = [429, 429]
    server.retry_after = 7
    assert Archive(tmp_path, wanted, server.url).find("gone.zip") is None
    assert waits == [7, 7]


def test_connections_are_kept_and_symbols_of_any_script_are_asked_for(server: Server, tmp_path: Path) -> None:
    symbol = "\u5e01\u5b89USDT"
    name = layout.klines("perp", symbol, "5m", "2024-01")
    source = server.folder / layout.klines("perp", "AAAUSDT", "5m", "2024-01")
    target = server.folder / name
    target.parent.mkdir(parents=True)
    shutil.copyfile(source, target)
    sign(target)
    archive = Archive(tmp_path, section(), server.url)
    assert archive.has(name)
    found = archive.find(name)
    assert found is not None
    assert found.read_bytes() == source.read_bytes()
    assert len(server.connections) == 1


def test_a_month_the_server_lacks_is_named(server: Server, folder: Path, tmp_path: Path) -> None:
    (folder / layout.klines("perp", "AAAUSDT", "5m", "2024-02")).unlink()
    with pytest.raises(SourceNotFound, match=r"missing between others: 2024-02"):
        over_http(server, tmp_path / "cache").months("AAAUSDT")


def test_an_address_must_be_one_of_http_and_a_cache_must_be_given(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match="address of HTTP"):
        Archive(tmp_path, section(), "file:///data")
    with pytest.raises(SourceNotFound, match="without a folder"):
        open_perp_source(load_spec(SPECS / "binance.yaml", PerpSourceSpec))


@pytest.mark.real_data
def test_the_real_zips_over_http_are_complete_and_agree_with_the_table(
    shared_data: Path, server: Server, folder: Path, tmp_path: Path
) -> None:
    real = shared_data / "binance_vision_um_1m"
    for path in (real / "raw").glob("*.zip"):
        symbol, _, month = path.stem.split("-", 2)
        target = folder / layout.klines("perp", symbol, "1m", month)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, target)
        sign(target)
    source = over_http(
        server,
        tmp_path / "cache",
        symbols=("LINKUSDT", "FILUSDT", "NEARUSDT"),
        perp_interval="1m",
        first_month="2023-04",
        last_month="2023-06",
    )
    assert source.months("FILUSDT") == ["2023-04", "2023-05", "2023-06"]
    assert source.months("NEARUSDT") == ["2023-04", "2023-05"]
    table = pl.read_parquet(real / "klines_1m.parquet").filter(pl.col("symbol") == "NEARUSDT")
    for month, minutes in (("2023-04", 43_200), ("2023-05", 44_640)):
        raw = perp.RawPerpBars.validate(source.bars("NEARUSDT", month))
        assert raw.height == minutes
        result = clean_perp_bars(raw, cleaning())
        assert (result.quarantine.height, result.counts["in_bars"]) == (0, minutes)
        assert result.counts["bars"] == minutes // 5
        start = int(datetime.strptime(month, "%Y-%m").replace(tzinfo=UTC).timestamp() * 1000)
        twin = (
            table.filter(pl.col("open_time").is_between(start, start + minutes * 60_000, closed="left"))
            .group_by(pl.col("open_time") // 300_000, maintain_order=True)
            .agg(pl.col("close").last(), pl.col("taker_buy_volume").sum(), pl.col("high").max())
        )
        for name in ("close", "taker_buy_volume", "high"):
            np.testing.assert_allclose(result.bars[name].to_numpy(), twin[name].to_numpy(), rtol=1e-12)
    wide = over_http(
        server,
        tmp_path / "cache",
        symbols=("FILUSDT",),
        perp_interval="1m",
        first_month="2023-02",
        last_month="2023-06",
    )
    with pytest.raises(SourceNotFound, match=r"missing between others: 2023-03[\s\S]*FILUSDT-1m-2023-03.zip"):
        wide.months("FILUSDT")
