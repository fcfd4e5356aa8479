"""Drawing by vl-convert: which fonts it lays texts out with, and what a picture need not be told."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest
import vl_convert

from quant_platform.reports.charts import builders, drawing, embedding, theme
from quant_platform.reports.charts.builders import Field
from quant_platform.reports.charts.figures import Words, spec_of

find_fonts = drawing.find_fonts.__wrapped__


@pytest.fixture
def registered(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, str]]:
    """Folders of fonts that vl-convert was given, each with what the file of fonts said at the time."""
    calls: list[tuple[str, str]] = []

    def take(folder: str) -> None:
        calls.append((folder, Path(os.environ["FONTCONFIG_FILE"]).read_text(encoding="utf-8")))

    monkeypatch.setattr(drawing.vl_convert, "register_font_directory", take)
    monkeypatch.setattr(drawing.sys, "platform", "linux")
    return calls


def test_fonts_of_the_system_come_after_those_that_vl_convert_finds_without_them(
    registered: list[tuple[str, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("FONTCONFIG_FILE", raising=False)
    find_fonts()
    assert [folder for folder, _ in registered][:2] == ["/usr/share/fonts", "/usr/local/share/fonts"]
    [searched] = {folder for _, stated in registered for folder in re.findall("<dir>(.*)</dir>", stated)}
    assert not Path(searched).exists()
    assert "FONTCONFIG_FILE" not in os.environ


def test_a_file_of_fonts_that_somebody_named_stays_in_force(
    registered: list[tuple[str, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FONTCONFIG_FILE", "/theirs")
    find_fonts()
    assert (registered, os.environ["FONTCONFIG_FILE"]) == ([], "/theirs")


def test_the_file_of_fonts_is_forgotten_where_vl_convert_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(folder: str) -> None:
        raise ValueError(folder)

    monkeypatch.setattr(drawing.vl_convert, "register_font_directory", fail)
    monkeypatch.setattr(drawing.sys, "platform", "linux")
    monkeypatch.delenv("FONTCONFIG_FILE", raising=False)
    with pytest.raises(ValueError, match="/usr/share/fonts"):
        find_fonts()
    assert "FONTCONFIG_FILE" not in os.environ


def test_a_picture_is_the_same_without_what_hovering_says(monkeypatch: pytest.MonkeyPatch) -> None:
    figure = builders.bars(
        [{"name": "a", "size": 2.0}, {"name": "b", "size": 1.0}],
        Words("One", "Two bars"),
        row=Field("name", "name", "category"),
        value=Field("size", "size"),
    )
    spec, asked = spec_of(figure), []
    assert "tooltip" in str(spec)
    monkeypatch.setattr(embedding, "_svg", lambda text: asked.append(text) or drawing.svg(text))
    embedding.still(spec, "own")
    assert "tooltip" not in asked[0]
    pictures = [drawing.svg(asked[0]), vl_convert.vegalite_to_svg(theme.measured(spec))]
    one, other = (re.sub(r"clip\d+", "clip", text) for text in pictures)
    assert one == other
