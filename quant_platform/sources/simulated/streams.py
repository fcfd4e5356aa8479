"""One random generator per mechanism, so that a new mechanism moves none of the others."""

from __future__ import annotations

import numpy as np

# The order is part of the format of a seed: append, never insert.
MECHANISMS = (
    "market",
    "styles",
    "loadings",
    "idiosyncratic_volatility",
    "idiosyncratic",
    "alpha",
    "listing",
    "delisting",
    "start_price",
    "dividends",
    "bars",
    "volume",
    "fundamentals",
    "vendor",
    "industries",
    "shares",
)


def streams(seed: int) -> dict[str, np.random.Generator]:
    """A PCG64 generator per mechanism, spawned from one seed."""
    children = np.random.SeedSequence(seed).spawn(len(MECHANISMS))
    return {name: np.random.Generator(np.random.PCG64(child)) for name, child in zip(MECHANISMS, children, strict=True)}
