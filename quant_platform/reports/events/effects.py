"""Where effects are: q by family and horizon, and the effect of every event with its interval, raw and shrunk."""

from __future__ import annotations

from quant_platform.reports.charts import builders, formatting
from quant_platform.reports.charts.builders import Field
from quant_platform.reports.charts.fields import Fields, rows, value_of
from quant_platform.reports.charts.figures import Figure, Words
from quant_platform.reports.charts.markup import Html
from quant_platform.reports.charts.pages import figures, section
from quant_platform.reports.charts.tables import interval_text
from quant_platform.reports.events.search import QUESTIONS, family_words
from quant_platform.reports.queries import from_report, literal

BAR_MINUTES = 5
SHADES = ((0.05, 1.0), (0.1, 0.7), (0.2, 0.45), (0.5, 0.22))
"""Largest q of each step and its shade; above the last a square is almost paper."""
PALEST = 0.06


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
    placed = [
        {**row, "family": family_words(row.get("family")), "horizon_bars": f"{bars:g}"}
        for row in sorted(part, key=lambda row: (str(row.get("family")), value_of(row, "horizon_bars") or 0.0))
        if (bars := value_of(row, "horizon_bars")) is not None
    ]
    return builders.heat(
        placed,
        Words(
            QUESTIONS.get(question, question),
            "Smallest group q: " + "; ".join(_heat_words(row) for row in part),
            note=f"dark at or below {SHADES[0][0]:g}, paler at {', '.join(f'{step:g}' for step, _ in SHADES[1:])}",
            sql=(
                "select horizon_bars, family, min(q_level1) as q, count(*) as tests,\n"
                "  count(distinct fdr_group) as groups, count(*) filter (selected) as selected\n"
                "from discovery.hypotheses\n"
                f"where cutoff = {literal(report.get('cutoff'))} and question = {literal(question)}\n"
                "  and counted and tested\ngroup by family, horizon_bars\norder by family, horizon_bars"
            ),
            simulated=bool(report.get("simulated")),
        ),
        x=Field(
            "horizon_bars", "horizon, bars of five minutes", "category", order=tuple(f"{bars:g}" for bars in horizons)
        ),
        y=Field("family", "family", "category", order=tuple(family_words(family) for family in families)),
        value=Field("q", "smallest group q"),
        shade=_shade,
        written=formatting.p_value,
        tips=[
            Field("tests", "tests", "count"),
            Field("groups", "groups", "count"),
            Field("selected", "discoveries", "count"),
        ],
    )


def _shade(q: float) -> float:
    return next((shade for step, shade in SHADES if q <= step), PALEST)


def _heat_words(row: Fields) -> str:
    place = f"{family_words(row.get('family'))}, {horizon_words(value_of(row, 'horizon_bars') or 0.0)}"
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
    kinds = (("raw, 95%", "effect_bps", "low", "high"), ("shrunk, 95%", "shrunk_bps", "shrunk_low", "shrunk_high"))
    placed = [
        {
            "event_id": row.get("event_id"),
            "estimate": name,
            "effect_bps": row.get(value),
            "low": row.get(low),
            "high": row.get(high),
            "selected": row.get("selected") is True and value == "effect_bps",
            "n": row.get("n"),
            "p_fdr": row.get("p_fdr"),
        }
        for row in ordered
        for name, value, low, high in kinds
    ]
    return builders.dots_by_row(
        placed,
        Words(
            horizon_words(bars),
            f"Effects in basis points {horizon_words(bars)} after entry: "
            + "; ".join(_effect_words(row) for row in ordered),
            note=f"{len(ordered)} {'event' if len(ordered) == 1 else 'events'}, largest effect first",
            sql=from_report(
                "discovery.report",
                "cutoff",
                report.get("cutoff"),
                "effects",
                {
                    "event_id": "varchar",
                    **dict.fromkeys(("effect_bps", "low", "high", "shrunk_bps", "shrunk_low", "shrunk_high"), "double"),
                    "selected": "boolean",
                    "n": "bigint",
                    "p_fdr": "double",
                    "horizon_bars": "int",
                },
                where=f"horizon_bars = {bars:g}\norder by effect_bps desc nulls last",
            ),
            simulated=bool(report.get("simulated")),
        ),
        row=Field("event_id", "", "category"),
        value=Field(
            "effect_bps",
            "effect along the impulse, bps, before cost",
            limits=_effect_limits(ordered),
            digits=1,
            signed=True,
        ),
        low=Field("low", "low", digits=1, signed=True),
        high=Field("high", "high", digits=1, signed=True),
        series=Field("estimate", "estimate", "category", order=tuple(name for name, *_ in kinds)),
        starred=Field("selected", "discovery", "flag"),
        at=0.0,
        tips=[Field("n", "events", "count"), Field("p_fdr", "p")],
    )


def _effect_limits(part: list[Fields]) -> tuple[float, float]:
    """Every effect and three quarters of the interval ends; one event of ten trades must not flatten the others."""
    centres = [abs(value) for row in part for name in ("effect_bps", "shrunk_bps") if (value := value_of(row, name))]
    ends = sorted(abs(value) for row in part for name in ("low", "high") if (value := value_of(row, name)) is not None)
    usual = ends[(3 * (len(ends) - 1)) // 4] if ends else 1.0
    reach = 1.08 * max([usual, *centres, 0.1])
    return -reach, reach


def _effect_words(row: Fields) -> str:
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
