"""Where raw data comes from: one protocol, one module per kind of source."""

from quant_platform.sources.open import open_source
from quant_platform.sources.protocol import Source

__all__ = ["Source", "open_source"]
