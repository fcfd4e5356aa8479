"""The look-ahead audit: does a submitted signal know what nobody could know on its dates.

A file cannot be proven innocent, but look-ahead leaves marks:

1. **The cliff.** The mean rank IC with the return of the k-th bar after ``date_sig``, k = 1, 2, ... An honest signal
   predicts the next bars alike. One that has seen k bars ahead correlates with bar k and not with bar k + 1: its IC
   collapses under one more bar of lag. It is a leak where the IC before the fall is implausible, or where bar k is
   correlated with the signal as the bars are that it has openly seen (`_cliff`).
2. **The fade.** A signal that holds returns of many bars to come does not fall at one of them; but no forecast has its
   IC (`_fade`).
3. **The shadow.** A signal that has seen the volume or the range of a later bar is correlated with the size of its
   return, and not with that of the next (`_shadow`).
4. **The scale.** A z-score, a rank, a min-max scale or quantiles over the whole sample leave statistics that no
   quantity computed day by day has (`scales`).
5. **The restatement.** A value of a date differs between two versions of the file, or two snapshots (`restatement`).
6. **The proof**, for signals written as a computation over bars: everything after a date is replaced by garbage, and
   the value of the date must not move (`prove_by_perturbation`).

What it does not catch: a leak that is small beside an honest edge or beside noise and fades instead of ending; a later
volume whose level across names says more than its day; a scale over the sample under a rank across names or a cap; a
universe chosen with hindsight; parameters fitted to the whole sample. The book of the suite trades at the earliest one
bar after the bar a signal has seen, so that a leak of a single bar earns nothing here; it is named all the same.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import numpy.typing as npt
import polars as pl

from quant_platform.contracts.errors import LookAheadFound
from quant_platform.labs.suite.panel import Panel, SignalPanel
from quant_platform.labs.suite.ranking import Ranked, rank_panel, shifted_ics
from quant_platform.labs.suite.scales import whole_sample_scale
from quant_platform.specification.suite import AuditSpec

# How far ahead a leak of sizes is looked for: volume and range are taken from the next bars, if from any.
_SHADOW_BARS = 5

Floats = npt.NDArray[np.float64]
Compute = Callable[[pl.DataFrame], npt.ArrayLike]


@dataclass(frozen=True)
class AuditFinding:
    """One mark of look-ahead.

    Attributes
    ----------
    code
        ``look_ahead_cliff``, ``look_ahead_fade``, ``look_ahead_scale``, ``look_ahead_restated`` or
        ``look_ahead_proven``.
    message
        What was seen, with its numbers.
    bars
        How many bars ahead; 0 where that is no question.
    """

    code: str
    message: str
    bars: int = 0


@dataclass(frozen=True)
class Audit:
    """Result of the audit of one signal.

    Attributes
    ----------
    findings
        Empty for a signal without marks.
    profile
        ``bar`` (0 is that of ``date_sig``), mean IC with its return, standard error, n.
    """

    findings: tuple[AuditFinding, ...]
    profile: pl.DataFrame

    @property
    def passed(self) -> bool:
        """Whether nothing was found."""
        return not self.findings

    def require_passed(self, signal: str) -> None:
        """Raise LookAheadFound with every finding."""
        if self.findings:
            raise LookAheadFound(
                self.findings[0].message,
                where=f"signal {signal!r}",
                how_many=f"{len(self.findings)} finding{'s' if len(self.findings) > 1 else ''}",
                rows=[{"code": finding.code, "message": finding.message} for finding in self.findings],
                cause="a shift in the wrong direction, a price of the day after, or a statistic over the whole sample",
                action="compute every value from data known at its date_sig, and submit again",
            )


def audit_signal(
    signal: SignalPanel, panel: Panel, spec: AuditSpec, *, min_names: int, earlier: SignalPanel | None = None
) -> Audit:
    """Look for marks of look-ahead in a signal.

    Parameters
    ----------
    signal
        Its values by the row of ``date_sig``.
    panel
        The returns.
    spec
        Thresholds.
    min_names
        Fewest names of an IC.
    earlier
        An earlier version of the signal, or the signal on an earlier snapshot, to be compared where both have values.

    Returns
    -------
    Audit
    """
    ranked = rank_panel(signal.by_date, panel.universe)
    profile = _profile(ranked, panel.return_ranked, range(-1, spec.max_bars + 2), min_names)
    findings = [*(_cliff(profile, spec) or _fade(profile, spec) or _shadow(ranked, panel, spec, min_names))]
    findings.extend(_scale(signal.by_date, spec))
    if earlier is not None:
        findings.extend(restatement(earlier.by_date, signal.by_date, panel, spec))
    return Audit(tuple(findings), profile)


def restatement(first: Floats, second: Floats, panel: Panel, spec: AuditSpec) -> list[AuditFinding]:
    """Compare two versions of a signal on the rows both have.

    Only dates up to the last one of the first version are compared; a later version may add dates, never change them.
    A value that is gone, or that appears on an old date, is a change.
    """
    known = ~np.isnan(first)
    if not known.any():
        return []
    last = int(np.flatnonzero(known.any(axis=1))[-1])
    old, new = first[: last + 1], second[: last + 1]
    dates = (~np.isnan(old)).any(axis=1)
    old, new = old[dates], new[dates]
    either = ~np.isnan(old) | ~np.isnan(new)
    scale = np.maximum(np.abs(old), np.abs(new))
    with np.errstate(invalid="ignore"):
        same = (np.abs(old - new) <= spec.restated_tolerance * scale) | ~either
    changed = either & ~same
    share = changed.sum() / max(1, int(either.sum()))
    if share <= spec.restated_share:
        return []
    sessions = panel.sessions[: last + 1][dates]
    places = np.argwhere(changed)[:3]
    shown = "; ".join(
        f"{panel.tickers[i]} on {sessions[t]}: {old[t, i]:g}, then {new[t, i]:g}" for t, i in places.tolist()
    )
    return [
        AuditFinding(
            "look_ahead_restated",
            f"{int(changed.sum()):,} of {int(either.sum()):,} values ({share:.1%}) of old dates differ between two "
            f"versions: {shown}",
        )
    ]


def prove_by_perturbation(
    compute: Compute, bars: pl.DataFrame, rows: Sequence[int], *, rng: np.random.Generator
) -> list[AuditFinding]:
    """Replace everything after a row by garbage, then by nothing; the values up to the row must stay, bit by bit.

    Parameters
    ----------
    compute
        From the bars of one name to one value per row.
    bars
        Rows in time order; Float64 columns are perturbed, the others stay.
    rows
        Where to cut: take the ends of the sample, and rows on which the signal jumps.
    rng
        Of the garbage.

    Returns
    -------
    list of AuditFinding
        One per row that moved.
    """
    whole = np.asarray(compute(bars), dtype=np.float64)
    numbers = [name for name, dtype in bars.schema.items() if dtype == pl.Float64]
    found = []
    for row in rows:
        later = bars.height - row - 1
        noise = [pl.Series(name, np.exp(rng.normal(0.0, 2.0, later)) * 100.0) for name in numbers]
        garbage = bars.head(row + 1).vstack(bars.slice(row + 1).with_columns(noise))
        for how, changed in (("replaced", garbage), ("cut off", bars.head(row + 1))):
            again = np.asarray(compute(changed), dtype=np.float64)[: row + 1]
            moved = ~((again == whole[: row + 1]) | (np.isnan(again) & np.isnan(whole[: row + 1])))
            if moved.any():
                first = int(np.flatnonzero(moved)[0])
                found.append(
                    AuditFinding(
                        "look_ahead_proven",
                        f"with everything after row {row} {how}, the value of row {first} went from "
                        f"{whole[first]:g} to {again[first]:g}",
                        row - first,
                    )
                )
                break
    return found


def _profile(ranked: Ranked, returns: Ranked, bars: Iterable[int], min_names: int) -> pl.DataFrame:
    lines = []
    shifts = list(bars)
    for bar, ic in zip(shifts, shifted_ics(ranked, returns, shifts, min_names=min_names), strict=True):
        seen = ic[~np.isnan(ic)]
        mean = float(seen.mean()) if seen.size else math.nan
        error = float(seen.std(ddof=1)) / math.sqrt(seen.size) if seen.size > 1 else math.nan
        lines.append((bar, mean, error, int(seen.size)))
    schema = {"bar": pl.Int64, "ic": pl.Float64, "standard_error": pl.Float64, "n": pl.Int64}
    return pl.DataFrame(lines, schema=schema, orient="row")


def _cliff(profile: pl.DataFrame, spec: AuditSpec) -> list[AuditFinding]:
    """Find the last bar that the signal has seen, if it is later than its date.

    Bar k is seen and bar k + 1 is not where all of this holds:

    - the IC falls to less than ``collapse_ratio`` of itself, or turns its sign;
    - the fall is ``min_t`` standard errors;
    - the IC is above ``implausible_ic``, or it has the sign of, and is at least ``seen_ratio`` of, the IC of the bar
      before it, which in turn is openly seen or was found seen.
    """
    mean = dict(zip(profile["bar"].to_list(), profile["ic"].to_list(), strict=True))
    error = dict(zip(profile["bar"].to_list(), profile["standard_error"].to_list(), strict=True))
    for bar in range(spec.max_bars, 0, -1):
        here, after = mean[bar], mean[bar + 1]
        if not (math.isfinite(here) and math.isfinite(after)) or here == 0.0:
            continue
        fall = abs(here) - math.copysign(1.0, here) * after
        collapsed = math.copysign(1.0, here) * after < spec.collapse_ratio * abs(here)
        sure = fall > spec.min_t * math.hypot(error[bar], error[bar + 1])
        if not (collapsed and sure):
            continue
        steps = [mean[k] for k in range(0, bar + 1)]
        like_seen = all(
            math.isfinite(one) and one * two > 0.0 and abs(two) >= spec.seen_ratio * abs(one)
            for one, two in pairwise(steps)
        )
        if abs(here) < spec.implausible_ic and not like_seen:
            continue
        why = "as with the bars it has openly seen" if like_seen else "more than any forecast is"
        return [
            AuditFinding(
                "look_ahead_cliff",
                f"the signal is correlated with the return {bar} bar{'s' if bar > 1 else ''} after date_sig "
                f"(mean IC {here:+.3f}, {why}) and not with the bar after that ({after:+.3f}): it collapses under one "
                "more bar of lag",
                bar,
            )
        ]
    return []


def _fade(profile: pl.DataFrame, spec: AuditSpec) -> list[AuditFinding]:
    """Find an IC that is more than any forecast is and ends within the bars that are looked at.

    A leak of many bars does not end at one of them: the return of a month on all its days, a price against a mean that
    is centred on it, the distance to a high that is still to come.
    """
    ahead = profile.filter(pl.col("bar").is_between(1, spec.max_bars) & pl.col("ic").is_not_nan())
    beyond = profile.filter(pl.col("bar") == spec.max_bars + 1)
    if ahead.is_empty() or beyond.is_empty() or not math.isfinite(beyond["ic"].item()):
        return []
    peak = ahead.row(int(ahead["ic"].abs().arg_max() or 0), named=True)
    size = abs(peak["ic"])
    left = math.copysign(1.0, peak["ic"]) * beyond["ic"].item()
    sure = size - left > spec.min_t * math.hypot(peak["standard_error"], beyond["standard_error"].item())
    if size < spec.implausible_ic or left >= spec.collapse_ratio * size or not sure:
        return []
    return [
        AuditFinding(
            "look_ahead_fade",
            f"the mean IC with the return {peak['bar']} bar{'s' if peak['bar'] > 1 else ''} after date_sig is "
            f"{peak['ic']:+.3f}, more than any forecast is, and with the one {spec.max_bars + 1} bars after "
            f"{beyond['ic'].item():+.3f}: the signal has seen what lies between",
            peak["bar"],
        )
    ]


def _shadow(ranked: Ranked, panel: Panel, spec: AuditSpec, min_names: int) -> list[AuditFinding]:
    """Find a signal that has seen how large a return is and not its sign: the volume or the range of a later bar.

    The size of a return is its distance from the middle of its session. Days of large returns follow each other, so
    that an honest signal may be correlated with the sizes to come; it is then with those of many bars.
    """
    profile = _profile(ranked, panel.move_ranked, range(1, _SHADOW_BARS + 2), min_names)
    ic, error = profile["ic"].to_list(), profile["standard_error"].to_list()
    for bar in range(_SHADOW_BARS, 0, -1):
        here, after = ic[bar - 1], ic[bar]
        sign = math.copysign(1.0, here)
        fell = sign * after < spec.collapse_ratio * abs(here)
        if (
            abs(here) >= spec.implausible_ic
            and fell
            and abs(here - after) > spec.min_t * math.hypot(*error[bar - 1 : bar + 1])
        ):
            return [
                AuditFinding(
                    "look_ahead_cliff",
                    f"the signal is correlated with the size of the return {bar} bar{'s' if bar > 1 else ''} after "
                    f"date_sig (mean IC {here:+.3f}) and not with the bar after that ({after:+.3f}): it has seen its "
                    "volume, its range or its move",
                    bar,
                )
            ]
    return []


def _scale(values: Floats, spec: AuditSpec) -> list[AuditFinding]:
    """Find a scale that was fitted to the whole sample."""
    seen = whole_sample_scale(values, spec)
    if seen is None:
        return []
    return [AuditFinding("look_ahead_scale", f"{seen}: the signal was scaled with data that came later")]
