"""The public archive of Binance: monthly and daily zips with checksums, over HTTP or from a folder."""

from quant_platform.sources.binance.archive import Archive
from quant_platform.sources.binance.source import BinanceSource, open_binance

__all__ = ["Archive", "BinanceSource", "open_binance"]
