"""A figure in a page: what is written into a script cannot leave it, ids are the figure's own, one policy for all."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from pathlib import Path
from urllib.parse import quote

import pytest

from quant_platform.reports.charts import builders, embedding, pages, theme
from quant_platform.reports.charts.builders import Field
from quant_platform.reports.charts.figures import Figure, Words
from quant_platform_tests.reports.reading import drawn, read_html

EVIL = "</script><!--<b>\u2028&amp;'\""


def figure(title: str = "One", name: str = EVIL) -> Figure:
    return builders.bars(
        [{"name": name, "size": 2.0}, {"name": "#1f5f99", "size": 1.0}],
        Words(title, EVIL, note=EVIL, sql=f"select '{EVIL}'"),
        row=Field("name", EVIL, "category"),
        value=Field("size", "size"),
    )


def test_a_script_of_json_holds_no_character_that_could_end_it() -> None:
    text = embedding.script_json({"a": EVIL, "b": [1.5, None, True]})
    assert not set("<>&\u2028\u2029") & set(text)
    assert json.loads(text) == {"a": EVIL, "b": [1.5, None, True]}
    with pytest.raises(ValueError, match="not JSON compliant"):
        embedding.script_json(float("nan"))


def test_every_text_of_a_figure_arrives_as_it_was() -> None:
    [found] = drawn(read_html(embedding.embed(figure())))
    assert [row["name"] for row in found.data] == [EVIL, "#1f5f99"]
    assert (found.label, found.note, found.sql) == (f"One. {EVIL}", EVIL, f"select '{EVIL}'")
    assert found.saved == [{"name": EVIL, "size": "2.0"}, {"name": "#1f5f99", "size": "1.0"}]
    assert "#1f5f99" in found.picture.text


def test_the_data_of_a_figure_are_a_link_as_python_writes_one() -> None:
    rows = [{"name": 'a, "b" <&\n%', "size": -1.5e-07}, {"name": "Ærø–~_.:", "size": None}]
    figure = builders.bars(rows, Words("T", "D"), row=Field("name", "name", "category"), value=Field("size", "size"))
    stated = 'name,size\n"a, ""b"" <&\n%",-1.5e-07\nÆrø–~_.:,\n'
    assert f'href="data:text/csv;charset=utf-8,{quote(stated, safe=",:-._~")}"' in embedding.embed(figure)


def test_the_picture_has_the_colours_of_the_page_and_ids_of_its_own() -> None:
    one, other = (embedding.embed(figure(title, title)) for title in ("One", "Two"))
    for text in (one, other):
        assert 'fill="var(--first)"' in text
        assert not re.search(r'(fill|stroke)="#', text)
        assert 'class="figure"' in text
    identities = [set(re.findall(r'id="([^"]+)"', text)) for text in (one, other)]
    assert not identities[0] & identities[1]
    for text, own in zip((one, other), identities, strict=True):
        assert set(re.findall(r"url\(#([^)]+)\)", text)) <= own


def test_the_policy_names_every_script_that_runs_and_vega_is_there_only_for_figures() -> None:
    for blocks, scripts in (([], 1), ([pages.figures([figure(), figure("Two")])], 2)):
        root = read_html(pages.page("Title", *blocks))
        running = [node.text for node in root.all("script") if "type" not in node.attributes]
        assert len(running) == scripts
        [policy] = [node.attributes["content"] or "" for node in root.all("meta") if node.attributes.get("http-equiv")]
        allowed = re.findall(r"'sha256-([^']+)'", policy)
        assert allowed == [base64.b64encode(hashlib.sha256(text.encode()).digest()).decode() for text in running]
        assert "default-src 'none'" in policy
        assert "unsafe-eval" not in policy


def test_the_structure_of_a_figure() -> None:
    [found] = drawn(read_html(embedding.embed(figure("One", "a"))))
    children = [child for child in found.node.children if not isinstance(child, str)]
    assert [child.tag for child in children] == ["figcaption", "div", "div", "script"]
    plot, tools = children[1], children[2]
    assert (plot.classes, plot.attributes["role"]) == ({"plot"}, "img")
    assert [child.classes for child in plot.children if not isinstance(child, str)] == [{"still"}, {"live"}]
    assert [child.tag for child in tools.children if not isinstance(child, str)] == ["a", "details"]
    assert found.node.attributes["data-name"] == "one"


def test_a_still_picture_is_shown_in_fonts_as_wide_as_the_one_it_was_laid_out_with() -> None:
    text = str(embedding.still(embedding.spec_of(figure()), "a"))
    assert "<text" in text
    assert "font-family" not in text  # The style of the page names it once.
    [rule] = re.findall(
        r"[.]still svg [{]([^}]*)[}]", Path(embedding.__file__).with_name("page.css").read_text("utf-8")
    )
    shown = re.search(r"font-family: ([^;]*);", rule)
    assert shown is not None
    assert shown[1].replace('"', "") == theme.AS_MEASURED
    assert theme.AS_MEASURED.startswith(theme.MEASURED)


def test_what_only_answers_the_pointer_is_not_in_the_still_picture() -> None:
    rows = [{"day": f"2024-01-{day:02d}", "at": float(day)} for day in range(1, 29)]
    words = Words("Line", "A line.")
    found = builders.lines(rows, words, x=Field("day", "day", "date"), y=Field("at", "at"))
    [shown] = drawn(read_html(embedding.embed(found)))
    assert [layer.get("name") for layer in shown.spec["layer"]] == ["line", "hover"]
    assert len([node for node in shown.picture.all("path") if node.attributes.get("d")]) < len(rows)


def test_a_style_sheet_names_no_colour_that_the_palettes_lack() -> None:
    sheet = Path(embedding.__file__).with_name("page.css").read_text(encoding="utf-8")
    used = set(re.findall(r"var\(--([a-z-]+)\)", sheet))
    for palette in (theme.LIGHT, theme.DARK, theme.PRINT):
        assert used <= set(re.findall(r"--([a-z-]+):", theme.variables(palette)))
    assert not re.search(r"#[0-9a-f]{3,6}\b", re.sub(r"#vg-tooltip-element", "", sheet))


def test_a_colour_has_one_role() -> None:
    # The colours of a chart are exchanged by name, so no two roles may share one.
    assert len(theme.as_variables()) == len(theme.as_dark()) == 15


def test_vega_is_kept_between_processes_and_made_anew_where_it_cannot_be(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = []
    monkeypatch.setattr(embedding.vl_convert, "javascript_bundle", lambda snippet: calls.append(snippet) or "a</script")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    make = embedding.vega.__wrapped__
    first = make()
    assert first.endswith("a<\\/script")
    assert make() == first
    assert len(calls) == 1
    blocked = tmp_path / "file"
    blocked.write_text("", encoding="utf-8")
    monkeypatch.setenv("XDG_CACHE_HOME", str(blocked))
    assert make() == first
    assert len(calls) == 2


def test_a_figure_is_the_same_text_whatever_was_drawn_before() -> None:
    first = embedding.embed(figure("One", "a"))
    embedding._svg.cache_clear()
    assert embedding.embed(figure("One", "a")) == first
    ids = re.findall(r'id="([^"]+)"', first)
    assert ids
    assert set(re.findall(r"url\(#([^)]+)\)", first)) <= set(ids)
