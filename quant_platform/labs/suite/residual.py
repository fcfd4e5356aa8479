"""What is left of a signal once industries and style factors are known, date by date."""

from __future__ import annotations

from collections.abc import Collection, Mapping

import numpy as np
import numpy.typing as npt

from quant_platform.labs.suite.kernels import demean_rows
from quant_platform.labs.suite.panel import Panel
from quant_platform.specification.suite import Residualize
from quant_platform.statistics.cross_section import cross_sectional_residuals

Floats = npt.NDArray[np.float64]


def residualise(
    values: Floats, panel: Panel, wanted: Collection[Residualize], *, min_names: int
) -> Mapping[Residualize, Floats]:
    """Compute every wanted residual of a signal.

    Parameters
    ----------
    values
        ``[T, N]`` the signal; NaN where it is missing or outside the universe.
    panel
        Industries and exposures on the same rows.
    wanted
        ``off`` the signal itself, ``industry`` its difference from the mean of its industry, ``factor`` the residual
        of a regression on the style exposures, ``all`` of a regression on both.
    min_names
        Fewest names of a regression.

    Raises
    ------
    NotAvailable
        When the panel has no industries or no exposures; never computed as ``off``.

    Notes
    -----
    A regression on industry dummies is the difference from the industry's mean, and ``all`` is the regression of that
    difference on the exposures' differences (Frisch and Waugh 1933), so no dummy is ever written down. A name without
    an industry, or with an exposure missing, has no residual.
    """
    found: dict[Residualize, Floats] = {}
    for name in dict.fromkeys(wanted):
        if name == "off":
            found[name] = values
            continue
        if name in ("industry", "all"):
            panel.require("industry")
        if name in ("factor", "all"):
            panel.require("exposures")
        if name == "industry":
            found[name] = _demean(values[np.newaxis], panel)[0]
            continue
        exposures = np.stack(list(panel.exposures.values()))
        if name == "factor":
            found[name] = cross_sectional_residuals(values[np.newaxis], exposures, min_names=min_names)[0]
        else:
            # The means are taken over the names that enter the regression: those with everything.
            complete = np.isfinite(exposures).all(axis=0) & np.isfinite(values)
            inside = _demean(np.where(complete, np.concatenate([values[np.newaxis], exposures]), np.nan), panel)
            found[name] = cross_sectional_residuals(inside[:1], inside[1:], intercept=False, min_names=min_names)[0]
    return found


def _demean(values: Floats, panel: Panel) -> Floats:
    out = np.empty(values.shape)
    demean_rows(np.ascontiguousarray(values), panel.industry, max(1, len(panel.industries)), out)
    return out
