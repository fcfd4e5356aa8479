"""The colours and the type of every figure and page: written once, read by charts, style sheets and pictures.

A chart is drawn in the colours of :data:`LIGHT`, so that it is complete wherever it is shown: a notebook, a web app, a
picture. A page writes the same colours as CSS variables (:func:`style_variables`), so that one drawing follows light,
dark and print.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

FONT = 'system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", "DejaVu Sans", sans-serif'
MEASURED = "Liberation Sans"
"""The font that still pictures are laid out with: vl-convert carries it, so they are the same on every machine."""
AS_MEASURED = "Liberation Sans, Arial, Arimo, Helvetica, sans-serif"
"""The fonts that still pictures are shown in: letters of the same widths, wherever the reader is."""
SIZE = 11
"""Of tick labels and axis titles, in pixels."""
LABEL_LIMIT = 220
"""How wide the name of a category may be, in pixels."""


@dataclass(frozen=True)
class Palette:
    """A colour for each role; ``first`` and ``second`` are told apart by people who see no red or no green."""

    paper: str
    card: str
    ink: str
    soft: str
    hair: str
    grid: str
    first: str
    second: str
    third: str
    fourth: str
    faint: str
    star: str
    mark: str
    alarm: str
    alarm_paper: str


LIGHT = Palette(
    paper="#fbfaf7", card="#ffffff", ink="#1d2430", soft="#5b6472", hair="#dcdad3", grid="#e9e7e1", first="#1f5f99",
    second="#c05a12", third="#2f7d5b", fourth="#7a4fa3", faint="#6f7782", star="#a66f00", mark="#fdf4dd",
    alarm="#a3241b", alarm_paper="#fdeceb",
)  # fmt: skip
DARK = Palette(
    paper="#14171c", card="#1b1f26", ink="#e6e8ec", soft="#a0a8b4", hair="#343a44", grid="#272c35", first="#6fb1ea",
    second="#f0a05a", third="#6cc49b", fourth="#bd9be0", faint="#8a929e", star="#e8bb4a", mark="#2d2919",
    alarm="#ff9d92", alarm_paper="#3a1c1a",
)  # fmt: skip
PRINT = Palette(
    paper="#fff", card="#fff", ink="#000", soft="#444", hair="#bbb", grid="#ddd", first="#1f5f99", second="#c05a12",
    third="#2f7d5b", fourth="#7a4fa3", faint="#757575", star="#a66f00", mark="#f4f0e4", alarm="#a3241b",
    alarm_paper="#fff",
)  # fmt: skip

SERIES = (LIGHT.first, LIGHT.second, LIGHT.third, LIGHT.fourth, LIGHT.faint)
"""Colours of several series in one figure, in their order; more than five are not told apart by colour."""


def variables(palette: Palette) -> str:
    """The colours of a palette as CSS variables: ``--alarm-paper: #fdeceb; ...``."""
    return " ".join(f"--{name.replace('_', '-')}: {colour};" for name, colour in asdict(palette).items())


def style_variables() -> str:
    """The variables of a page: light, dark where the reader's system is dark, and print."""
    return (
        f":root {{ {variables(LIGHT)} }}\n"
        f"@media (prefers-color-scheme: dark) {{ :root {{ {variables(DARK)} }} }}\n"
        f"@media print {{ :root {{ {variables(PRINT)} }} }}\n"
    )


def config() -> dict[str, Any]:
    """What a chart looks like where its marks say nothing, as a Vega-Lite ``config``."""
    text = {"labelColor": LIGHT.soft, "titleColor": LIGHT.soft, "labelFontSize": SIZE, "titleFontSize": SIZE}
    return {
        # The description of a figure is its label; every mark with its own would be read out one by one.
        "aria": False,
        "font": FONT,
        "background": "transparent",
        "padding": 2,
        "view": {"stroke": None},
        "axis": text
        | {
            "titleFontWeight": "normal",
            "domainColor": LIGHT.soft,
            "tickColor": LIGHT.soft,
            "tickSize": 4,
            "gridColor": LIGHT.grid,
            "labelLimit": LABEL_LIMIT,
            "labelOverlap": True,
        },
        "axisX": {"grid": False},
        "axisY": {"domain": False, "ticks": False},
        "legend": text | {"orient": "top", "title": None, "offset": 4, "symbolSize": 60},
        "range": {"category": list(SERIES)},
        "text": {"color": LIGHT.ink, "fontSize": SIZE},
        "rule": {"color": LIGHT.soft},
    }


def measured(spec: dict[str, Any]) -> dict[str, Any]:
    """A chart's spec for a still picture, whose texts are laid out with `MEASURED`."""
    return spec | {"config": spec.get("config", {}) | {"font": MEASURED}}


def recoloured(spec: Any, colours: dict[str, str]) -> Any:
    """A chart's spec with each colour replaced; the data in it and the texts on it are left alone.

    Parameters
    ----------
    spec
        A Vega-Lite spec as plain values.
    colours
        From a colour of :data:`LIGHT` to what stands in its place.
    """
    if isinstance(spec, dict):
        return {
            name: value
            if name in ("datasets", "data") or (name in ("text", "title", "description") and isinstance(value, str))
            else recoloured(value, colours)
            for name, value in spec.items()
        }
    if isinstance(spec, list):
        return [recoloured(item, colours) for item in spec]
    return colours.get(spec, spec) if isinstance(spec, str) else spec


def as_variables() -> dict[str, str]:
    """From each colour of :data:`LIGHT` to the CSS variable that a page has for it."""
    return {colour: f"var(--{name.replace('_', '-')})" for name, colour in asdict(LIGHT).items()}


def as_dark() -> dict[str, str]:
    """From each colour of :data:`LIGHT` to its partner in the dark."""
    return dict(zip(asdict(LIGHT).values(), asdict(DARK).values(), strict=True))
