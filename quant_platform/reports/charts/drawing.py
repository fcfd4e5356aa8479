"""The one place that draws: a Vega-Lite spec as SVG or as PNG, by vl-convert and without a browser.

vl-convert lays texts out with the first font of a name that it has found, and opens the file of a font that the system
has installed anew for every letter. Its own fonts, which it holds in memory, cost a fifth and are the same on every
machine, so they come before the system's, which stand in for letters that its own lack.
"""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import Any

import vl_convert

_FONTCONFIG = "FONTCONFIG_FILE"
# A list without a folder would make vl-convert search the usual ones.
_NO_FONTS = "<?xml version='1.0'?><fontconfig><dir>{folder}</dir></fontconfig>"
_OF_THE_SYSTEM = ("/usr/share/fonts", "/usr/local/share/fonts", "~/.fonts", "~/.local/share/fonts")


def svg(spec: str | dict[str, Any]) -> str:
    """The spec as SVG.

    Parameters
    ----------
    spec
        Vega-Lite, as JSON or as plain values.
    """
    find_fonts()
    return vl_convert.vegalite_to_svg(spec)


def png(spec: str | dict[str, Any], *, scale: float) -> bytes:
    """The spec as PNG, with ``scale`` pixels of the picture per pixel of the figure."""
    find_fonts()
    return vl_convert.vegalite_to_png(spec, scale=scale)


@lru_cache(maxsize=1)
def find_fonts() -> None:
    """Put vl-convert's own fonts before those of the system, once in a process and before it has drawn anything.

    Notes
    -----
    Only Linux names its fonts in a file, and only there the usual fonts have the names of vl-convert's own. Where
    somebody has named such a file in ``FONTCONFIG_FILE``, it stays in force.
    """
    if not sys.platform.startswith("linux") or _FONTCONFIG in os.environ:
        return
    with _no_system_fonts():
        # vl-convert collects its fonts at the first call that needs them, which this is.
        for folder in _OF_THE_SYSTEM:
            vl_convert.register_font_directory(str(Path(folder).expanduser()))


@contextmanager
def _no_system_fonts() -> Iterator[None]:
    with tempfile.TemporaryDirectory(prefix="quant-fonts-") as folder:
        stated = Path(folder) / "fonts.conf"
        stated.write_text(_NO_FONTS.format(folder=folder), encoding="utf-8")
        os.environ[_FONTCONFIG] = str(stated)
        try:
            yield
        finally:
            del os.environ[_FONTCONFIG]
