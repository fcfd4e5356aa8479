"""Files as Binance's archive publishes them, and a source that reads them."""

from __future__ import annotations

import hashlib
import zipfile
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from quant_platform.sources.binance import BinanceSource, layout, open_binance
from quant_platform.specification.loading import load_spec
from quant_platform.specification.perp_sources import BinanceSpec, PerpSourceSpec
from quant_platform_tests.sources.builders import SPECS

HEADER = (
    "open_time,open,high,low,close,volume,close_time,quote_volume,count,taker_buy_volume,taker_buy_quote_volume,ignore"
)
FIRST = datetime(2024, 1, 1, tzinfo=UTC)


def section(**changes: Any) -> BinanceSpec:
    found = load_spec(SPECS / "binance.yaml", PerpSourceSpec).binance
    assert found is not None
    small = {
        "symbols": ("AAAUSDT",),
        "first_month": "2024-01",
        "last_month": "2024-03",
        "spot_interval": None,
        "funding": False,
        "metrics": False,
        "first_delay_seconds": 0.0,
        "max_attempts": 3,
        "timeout_seconds": 5.0,
    }
    return found.model_copy(update=small | changes)


def in_folder(folder: Path, **changes: Any) -> BinanceSource:
    spec = load_spec(SPECS / "binance.yaml", PerpSourceSpec)
    wanted = section(**changes)
    return open_binance(spec.model_copy(update={"binance": wanted}), wanted, folder, None)


def place(folder: Path, name: str, text: str, *, checksum: bool = True) -> Path:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(path.stem + ".csv", text)
    if checksum:
        sign(path)
    return path


def sign(path: Path) -> None:
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    path.with_name(path.name + ".CHECKSUM").write_text(f"{digest}  {path.name}\n")


def rows(start: datetime, count: int, minutes: int = 5, *, unit: int = 1000) -> list[str]:
    out = []
    for k in range(count):
        opened = int((start + timedelta(minutes=minutes * k)).timestamp()) * unit
        closed = opened + minutes * 60 * unit - 1
        price = 100.0 + k % 50
        out.append(
            f"{opened},{price},{price + 1},{price - 1},{price + 0.5},{10 + k},{closed},{1000 + k},{5 + k},{4},{400},0"
        )
    return out


def month_file(
    folder: Path, month: str, lines: list[str] | None = None, *, header: bool = True, **options: Any
) -> Path:
    start = datetime(int(month[:4]), int(month[5:]), 1, tzinfo=UTC)
    body = rows(start, 600) if lines is None else lines
    text = "\n".join([HEADER, *body] if header else body) + "\n"
    return place(folder, layout.klines("perp", "AAAUSDT", "5m", month), text, **options)
