"""Blocks of every page: banner, heading, tiles, section, figures, definitions, cards, and the page around them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import resources

from quant_platform.reports.charts import embedding, formatting, theme
from quant_platform.reports.charts.figures import SIMULATED, Figure
from quant_platform.reports.charts.markup import Html, element
from quant_platform.reports.charts.tables import Cell, content, missing_text

HOW_TO_USE = (
    "Figures show their values on hovering; a click on an entry of a legend hides its series; shift and wheel zooms, "
    "dragging moves, a double click goes back. A click on a heading sorts its table."
)


@dataclass(frozen=True)
class Tile:
    """One number of the headline: label, value, and a line on its uncertainty."""

    label: str
    cell: Cell
    note: str = ""


def banner(simulated: bool) -> Html | None:
    """The band over a page of simulated data; nothing for real data."""
    if not simulated:
        return None
    words = (
        f"{SIMULATED} {formatting.DASH} the market on this page is computer-made. It says nothing about any real one."
    )
    return element("div", words, class_="banner", role="note")


def section(title: str, explanation: str, *blocks: Html | None, anchor: str, simulated: bool = False) -> Html:
    """A section: heading, a sentence on how to read it, its blocks; a simulated one carries the word."""
    tag = element("span", SIMULATED, class_="tag") if simulated else None
    return element(
        "section",
        element("h2", title, tag, id=f"{anchor}-heading"),
        element("p", explanation, class_="explanation"),
        *blocks,
        id=anchor,
        aria_labelledby=f"{anchor}-heading",
    )


def paragraph(text: str, *, kind: str = "note") -> Html:
    """A paragraph of a kind: note, or warning."""
    return element("p", text, class_=kind)


def tiles(items: Sequence[Tile]) -> Html:
    """The headline numbers side by side."""
    return element(
        "dl",
        *(
            element(
                "div",
                element("dt", tile.label),
                element("dd", content(tile.cell, tile.cell.missing)),
                element("dd", tile.note, class_="tile-note") if tile.note else None,
                class_="tile",
            )
            for tile in items
        ),
        class_="tiles",
    )


def figures(
    items: Sequence[Figure], *, wide: bool = False, whole: bool = False, empty: str = "there is no figure"
) -> Html:
    """Figures in a grid that folds on narrow screens.

    ``wide`` gives two to a row, ``whole`` one; ``empty`` says why there is none.
    """
    if not items:
        return element("p", missing_text(empty), class_="note")
    kinds = "figures whole" if whole else "figures wide" if wide else "figures"
    return element("div", *(embedding.embed(item) for item in items), class_=kinds)


def definitions(items: Mapping[str, Cell]) -> Html:
    """Terms and their values, one to a line."""
    return element(
        "dl",
        *(
            element("div", element("dt", term), element("dd", content(cell, cell.missing)))
            for term, cell in items.items()
        ),
        class_="definitions",
    )


def cards(items: Mapping[str, Mapping[str, Cell]], *, empty: str) -> Html:
    """Terms and values under a heading each, side by side; ``empty`` says why there is none."""
    if not items:
        return element("p", missing_text(empty), class_="note")
    return element(
        "div",
        *(
            element("article", element("h3", heading), definitions(terms), class_="card")
            for heading, terms in items.items()
        ),
        class_="cards",
    )


def sentences(items: Sequence[str]) -> Html:
    """Sentences one below the other, each a point of its own."""
    return element("ul", *(element("li", item) for item in items), class_="verdict")


def contents(anchors: Mapping[str, str]) -> Html:
    """Links to the sections of the page, by anchor."""
    return element(
        "nav",
        *(element("a", title, href=f"#{anchor}") for anchor, title in anchors.items()),
        class_="contents",
        aria_label="Contents",
    )


def heading(kicker: str, title: str, sentence: str, *blocks: Html | None) -> Html:
    """The head of a page: what kind of page, what it is about, and its result in one sentence."""
    return element(
        "header",
        element("p", kicker, class_="kicker"),
        element("h1", title),
        element("p", sentence, class_="headline"),
        *blocks,
    )


def beside(left: Html, right: Html) -> Html:
    """Two blocks side by side, the first twice as wide: figures and their numbers. One below the other where narrow."""
    return element("div", element("div", left), element("div", right), class_="beside")


def page(title: str, *blocks: Html | None, simulated: bool = False) -> str:
    """A whole document.

    Parameters
    ----------
    title
        Of the browser's tab.
    blocks
        What is on it, from top to bottom.
    simulated
        Puts the banner over it and the word before its title.

    Returns
    -------
    str
        HTML with its style, its scripts and, where it has a figure, Vega inside. Its own policy forbids the browser to
        fetch anything and to run any other script. Without script the page is complete: figures are still pictures.
    """
    body = element("div", *blocks, class_="sheet")
    with_charts = '<figure class="chart"' in body
    scripts = embedding.scripts(with_charts)
    sheet = resources.files("quant_platform.reports.charts").joinpath("page.css").read_text(encoding="utf-8")
    document = element(
        "html",
        element(
            "head",
            element("meta", charset="utf-8"),
            element("meta", http_equiv="Content-Security-Policy", content=embedding.policy(scripts)),
            element("meta", name="viewport", content="width=device-width, initial-scale=1"),
            element("meta", name="color-scheme", content="light dark"),
            element("title", f"{SIMULATED} {title}" if simulated else title),
            element("style", Html(theme.style_variables() + sheet)),
        ),
        element(
            "body",
            banner(simulated),
            body,
            element("p", HOW_TO_USE, class_="note how-to") if with_charts else None,
            *(element("script", script) for script in scripts),
        ),
        lang="en",
    )
    return "<!DOCTYPE html>\n" + document + "\n"
