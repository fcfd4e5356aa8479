"""A figure inside a page: a still picture for print and for readers without script, and the live chart in its place.

1. The still picture is drawn by vl-convert and put in as SVG; its colours are the page's variables, its ids its own.
2. The chart's spec, its data inside, stands beside it as JSON; ``page.js`` draws it when it comes into view.
3. The data are a link that holds them as CSV, the query a fold.
4. Vega, Vega-Lite and Vega-Embed are put in once, at the end of the page. Nothing is fetched by anything.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
from collections.abc import Sequence
from functools import lru_cache
from importlib import metadata, resources
from typing import Any

import vl_convert

from quant_platform.contracts.kept import keep, read_kept
from quant_platform.reports.charts import drawing, theme
from quant_platform.reports.charts.figures import Figure, csv_text, spec_of
from quant_platform.reports.charts.markup import Html, element

_GLOBALS = "window.vegaEmbed = vegaEmbed; window.vegaLite = vegaLite; window.vega = vega;"
_OF_AN_ADDRESS = re.compile(rb"[^A-Za-z0-9_.~,:-]")
STILL_LEFT_OUT = "hover"
"""Layers of this name answer the pointer and are not drawn in the still picture."""


def embed(figure: Figure) -> Html:
    """A figure with its caption, picture, live spec, data and query.

    Parameters
    ----------
    figure
        The figure.
    """
    words, spec = figure.words, spec_of(figure)
    live = theme.recoloured(spec, theme.as_variables())
    return element(
        "figure",
        element(
            "figcaption",
            element("strong", words.title),
            element("span", words.note, class_="figure-note") if words.note else None,
        ),
        element(
            "div",
            element("div", still(spec, _identity(spec)), class_="still"),
            element("div", class_="live"),
            class_="plot",
            role="img",
            aria_label=f"{words.title}. {words.description}",
        ),
        element("div", _data(figure), _query(words.sql), class_="tools"),
        element("script", script_json(live), type="application/json", class_="spec"),
        class_="chart",
        data_name=figure.name,
    )


def still(spec: dict[str, Any], prefix: str) -> Html:
    """The spec as SVG in the page's colours, without what only answers a pointer."""
    drawn = {name: value for name, value in spec.items() if name not in ("params", "description")}
    drawn["layer"] = [_without_tip(layer) for layer in spec["layer"] if layer.get("name") != STILL_LEFT_OUT]
    kept = {layer.get("name") for layer in drawn["layer"]}
    drawn["params"] = [item for item in spec.get("params", []) if kept & set(item.get("views", ()))]
    # The style of the page names the fonts once for all texts.
    text = _svg(json.dumps(theme.measured(drawn))).replace(f' font-family="{theme.MEASURED}"', "")
    for colour, variable in theme.as_variables().items():
        for attribute in ("fill", "stroke"):
            text = text.replace(f'{attribute}="{colour}"', f'{attribute}="{variable}"')
    # Vega counts its clips over the life of the process: the same figure would be another text each time.
    numbers = {name: place for place, name in enumerate(dict.fromkeys(re.findall(r'id="(\w+)"', text)))}
    text = re.sub(r'id="(\w+)"', lambda found: f'id="{prefix}-{numbers[found[1]]}"', text)
    text = re.sub(r"url\(#(\w+)\)", lambda found: f"url(#{prefix}-{numbers[found[1]]})", text)
    # The figure says what it shows; its picture is scaled by the page.
    text = re.sub(r' class="marks" width="[^"]*" height="[^"]*"', ' class="figure"', text, count=1)
    return Html(text.strip())


def _without_tip(layer: dict[str, Any]) -> dict[str, Any]:
    """A layer without what it says on hovering: Vega would write that text for every mark, and no picture shows it."""
    encoding = layer.get("encoding", {})
    return layer | {"encoding": {name: value for name, value in encoding.items() if name != "tooltip"}}


@lru_cache(maxsize=64)
def _svg(spec: str) -> str:
    """The spec as SVG; pages of many weeks share most of their pictures with their neighbours."""
    return drawing.svg(spec)


def script_json(value: Any) -> Html:
    """A value as JSON that may stand in a ``<script>``: no character of it can end the element or begin a comment."""
    text = json.dumps(value, allow_nan=False, separators=(",", ":"), ensure_ascii=False)
    for character in "<>&\u2028\u2029":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return Html(text)


def scripts(with_charts: bool) -> list[Html]:
    """The scripts of a page: Vega where there is a figure, and ours, which draws, sorts and saves."""
    return [Html(text) for text in ([vega()] if with_charts else [])] + [Html(_own_script())]


def policy(texts: Sequence[str]) -> str:
    """A content security policy that runs these scripts and no other, and fetches nothing.

    Parameters
    ----------
    texts
        The scripts as they stand in the page.
    """
    hashes = " ".join(f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'" for text in texts)
    return (
        f"default-src 'none'; script-src {hashes}; style-src 'unsafe-inline'; img-src data: blob:; "
        "base-uri 'none'; form-action 'none'"
    )


@lru_cache(maxsize=1)
def vega() -> str:
    """Vega, Vega-Lite and Vega-Embed (BSD 3-Clause) in one script, as vl-convert carries them.

    Notes
    -----
    Bundling takes some seconds, so it is kept in the user's cache folder under the version of vl-convert; where that
    cannot be written, every process bundles anew.
    """
    name = f"vega-{metadata.version('vl-convert-python')}.js"
    kept = read_kept(name)
    if kept is not None:
        return kept.decode()
    notice = (
        f"/* Vega {vl_convert.get_vega_version()}, Vega-Lite, Vega-Embed {vl_convert.get_vega_embed_version()}: "
        "BSD 3-Clause, University of Washington Interactive Data Lab and contributors. */\n"
    )
    text = notice + vl_convert.javascript_bundle(_GLOBALS).replace("</script", "<\\/script").replace("<!--", "<\\!--")
    keep(name, text.encode())
    return text


def _identity(spec: dict[str, Any]) -> str:
    """A prefix of ids that two different figures do not share."""
    return "f" + hashlib.sha256(json.dumps(spec, sort_keys=True).encode()).hexdigest()[:10]


def _own_script() -> str:
    return resources.files("quant_platform.reports.charts").joinpath("page.js").read_text(encoding="utf-8")


def _data(figure: Figure) -> Html | None:
    if not figure.data:
        return None
    # `urllib.parse.quote` looks at letter by letter.
    written = _OF_AN_ADDRESS.sub(lambda found: b"%%%02X" % ord(found[0]), csv_text(figure).encode())
    address = "data:text/csv;charset=utf-8," + written.decode("ascii")
    return element("a", "CSV", href=address, download=f"{figure.name}.csv", title="The data of this figure")


def _query(sql: str) -> Html | None:
    if not sql:
        return None
    return element("details", element("summary", "SQL"), element("pre", element("code", sql)), class_="query")
