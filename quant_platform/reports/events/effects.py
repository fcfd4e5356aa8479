"""Where effects are: q by family and horizon, and the effect of every event with its interval, raw and shrunk."""

from __future__ import annotations

from quant_platform.reports.charts import formatting
from quant_platform.reports.charts.fields import Fields, rows, value_of
from quant_platform.reports.charts.figures import Axis, Figure, Heat, Points, Rule
from quant_platform.reports.charts.markup import Html
from quant_platform.reports.charts.pages import figures, interval_text, section
from quant_platform.reports.events.search import QUESTIONS, family_words, watermark

BAR_MINUTES = 5
SHADES = ((0.05, 1.0), (0.1, 0.7), (0.2, 0.45), (0.5, 0.22))
"""Largest q of each step and its shade; above the last a square is almost paper."""
PALEST = 0.06
SHIFT = 0.17
"""Half the distance between the raw and the shrunk effect of one event, in rows."""


def horizon_words(bars: float) -> str:
    """A horizon in bars with its length: ``12 bars (1 h)``."""
    minutes = BAR_MINUTES * bars
    length = f"{minutes:g} min" if minutes < 60 else f"{minutes / 60:g} h"
    return f"{bars:g} {'bar' if bars == 1 else 'bars'} ({length})"


def heat_section(report: Fields, *, anchor: str) -> Html:
    """One map per question: families down, horizons across, the smallest group q in each square."""
    explanation = (
        "Each square holds the smallest q among the groups of a family at a horizon, a group being one event and one "
        "test over all its symbols and states. It is the first level of the two-level procedure: all groups of a "
        "question are corrected for together, so one dark square among many pale ones already has the search in it. "
        "An empty square has no test."
    )
    found: dict[str, list[Fields]] = {}
    for row in rows(report, "heat"):
        found.setdefault(str(row.get("question")), []).append(row)
    drawn = [_heat_figure(report, question, part) for question, part in found.items()]
    return section(
        "q by family and horizon",
        explanation,
        figures(drawn, wide=True, empty="no cell was tested"),
        anchor=anchor,
        simulated=bool(report.get("simulated")),
    )


def _heat_figure(report: Fields, question: str, part: list[Fields]) -> Figure:
    families = sorted({str(row.get("family")) for row in part})
    horizons = sorted({bars for row in part if (bars := value_of(row, "horizon_bars")) is not None})
    held = {(str(row.get("family")), value_of(row, "horizon_bars")): row for row in part}
    squares = [(family, bars) for family in families for bars in horizons]
    tips = [_heat_tip(family, bars, held.get((family, bars))) for family, bars in squares]
    qs = [value_of(held.get((family, bars), {}), "q") for family, bars in squares]
    return Figure(
        title=QUESTIONS.get(question, question),
        description="Smallest group q: "
        + "; ".join(tip for tip, square in zip(tips, squares, strict=True) if square in held),
        note=f"dark at or below {SHADES[0][0]:g}, paler at {', '.join(f'{step:g}' for step, _ in SHADES[1:])}",
        x=Axis(
            "horizon, bars of five minutes",
            limits=(-0.5, len(horizons) - 0.5),
            at=tuple(float(index) for index in range(len(horizons))),
            names=tuple(f"{bars:g}" for bars in horizons),
        ),
        y=Axis(
            "",
            limits=(-0.5, len(families) - 0.5),
            at=tuple(float(len(families) - 1 - index) for index in range(len(families))),
            names=tuple(family_words(family) for family in families),
        ),
        marks=(
            Heat(
                x=[float(horizons.index(bars)) for _, bars in squares],
                y=[float(len(families) - 1 - families.index(family)) for family, _ in squares],
                shade=[None if q is None else _shade(q) for q in qs],
                texts=["" if q is None else formatting.p_value(q) for q in qs],
                tips=tips,
            ),
        ),
        width=560,
        height=64 + 28 * len(families),
        watermark=watermark(report),
    )


def _shade(q: float) -> float:
    return next((shade for step, shade in SHADES if q <= step), PALEST)


def _heat_tip(family: str, bars: float, row: Fields | None) -> str:
    place = f"{family_words(family)}, {horizon_words(bars)}"
    if row is None:
        return f"{place}: no test"
    q, tests, groups, selected = (value_of(row, name) for name in ("q", "tests", "groups", "selected"))
    written = "n/a" if q is None else formatting.p_value(q)
    counted = ", ".join(
        f"{formatting.count(value)} {one if value == 1 else many}"
        for value, one, many in (
            (tests, "test", "tests"),
            (groups, "group", "groups"),
            (selected, "discovery", "discoveries"),
        )
        if value is not None
    )
    return f"{place}: q {written}; {counted}"


def effect_section(report: Fields, *, anchor: str) -> Html:
    """One figure per horizon: every event, its raw effect with interval and the shrunk one below it."""
    explanation = (
        "The mean return after an event over all symbols and states, in the direction of the event's impulse and "
        "before cost: right of zero the move went on, left of it it came back. Beside the raw effect stands the one "
        "shrunk toward its family: where the two are far apart, the event's own data weigh little. A star is a "
        "discovery. Whiskers beyond the scale end at its edge; read them as: not known."
    )
    found: dict[float, list[Fields]] = {}
    for row in rows(report, "effects"):
        bars = value_of(row, "horizon_bars")
        if bars is not None:
            found.setdefault(bars, []).append(row)
    drawn = [_effect_figure(report, bars, part) for bars, part in sorted(found.items())]
    return section(
        "Effects by horizon",
        explanation,
        figures(drawn, wide=True, empty="no event was tested over all symbols and states"),
        anchor=anchor,
        simulated=bool(report.get("simulated")),
    )


def _effect_figure(report: Fields, bars: float, part: list[Fields]) -> Figure:
    ordered = sorted(part, key=lambda row: (value_of(row, "effect_bps") is None, -(value_of(row, "effect_bps") or 0.0)))
    count = len(ordered)
    places = [float(count - 1 - index) for index in range(count)]
    tips = [_effect_tip(row) for row in ordered]
    raw = Points(
        x=[value_of(row, "effect_bps") for row in ordered],
        y=[place + SHIFT for place in places],
        low=[value_of(row, "low") for row in ordered],
        high=[value_of(row, "high") for row in ordered],
        tips=tips,
        starred=[row.get("selected") is True for row in ordered],
        name="raw, 95%",
        sideways=True,
    )
    shrunk = Points(
        x=[value_of(row, "shrunk_bps") for row in ordered],
        y=[place - SHIFT for place in places],
        low=[value_of(row, "shrunk_low") for row in ordered],
        high=[value_of(row, "shrunk_high") for row in ordered],
        name="shrunk, 95%",
        role="second",
        sideways=True,
    )
    return Figure(
        title=horizon_words(bars),
        description=f"Effects in basis points {horizon_words(bars)} after entry: " + "; ".join(tips),
        note=f"{count} {'event' if count == 1 else 'events'}, largest effect first",
        x=Axis("effect along the impulse, bps, before cost", limits=_effect_limits(ordered)),
        y=Axis(
            "",
            limits=(-0.8, count - 0.2),
            at=tuple(places),
            names=tuple(str(row.get("event_id")) for row in ordered),
        ),
        marks=(Rule("x", 0.0), raw, shrunk),
        width=560,
        height=72 + 20 * count,
        watermark=watermark(report),
    )


def _effect_limits(part: list[Fields]) -> tuple[float, float]:
    """Every effect and three quarters of the interval ends; one event of ten trades must not flatten the others."""
    centres = [abs(value) for row in part for name in ("effect_bps", "shrunk_bps") if (value := value_of(row, name))]
    ends = sorted(abs(value) for row in part for name in ("low", "high") if (value := value_of(row, name)) is not None)
    usual = ends[(3 * (len(ends) - 1)) // 4] if ends else 1.0
    reach = 1.08 * max([usual, *centres, 0.1])
    return -reach, reach


def _effect_tip(row: Fields) -> str:
    effect, shrunk, n, p = (value_of(row, name) for name in ("effect_bps", "shrunk_bps", "n", "p_fdr"))
    parts = [f"{row.get('event_id')}: " + ("n/a" if effect is None else f"{formatting.number(effect, 1, signed=True)}")]
    interval = interval_text(row.get("low"), row.get("high"), 1, signed=True)
    if interval:
        parts[0] += f" {interval}"
    if shrunk is not None:
        parts.append(f"shrunk {formatting.number(shrunk, 1, signed=True)}")
    if n is not None:
        parts.append(f"n {formatting.count(n)}")
    if p is not None:
        parts.append(f"p {formatting.p_value(p)}")
    return ", ".join(parts)
