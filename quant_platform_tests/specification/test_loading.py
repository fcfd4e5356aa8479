"""Errors of spec files point at the file, the line and the way out."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from pydantic import Field

from quant_platform.contracts.errors import OntologyMismatch, SpecError
from quant_platform.specification.cleaning import CleaningSpec
from quant_platform.specification.home import PerpMarketSpec
from quant_platform.specification.loading import SpecModel, load_spec, read_yaml
from quant_platform.specification.ontology import ontology, spec_hash

SPECS = Path(__file__).resolve().parents[2] / "specs"


class Inner(SpecModel):
    half_life_days: float = Field(gt=0)


class Outer(SpecModel):
    name: str
    inner: Inner
    many: dict[str, Inner] = Field(default_factory=dict)


def _file(folder: Path, text: str) -> Path:
    path = folder / "spec.yaml"
    path.write_text(text)
    return path


def _message(folder: Path, text: str) -> str:
    with pytest.raises(SpecError) as caught:
        load_spec(_file(folder, text), Outer)
    return str(caught.value)


def test_a_valid_file_becomes_a_frozen_model(tmp_path: Path) -> None:
    found = load_spec(_file(tmp_path, "name: a\ninner:\n  half_life_days: 2\n"), Outer)
    assert found == Outer(name="a", inner=Inner(half_life_days=2.0))
    with pytest.raises(ValueError, match="frozen"):
        found.name = "b"


def test_an_unknown_key_names_line_and_closest_key(tmp_path: Path) -> None:
    text = "name: a\ninner:\n  half_life_days: 2\n  half_live_days: 3\n"
    message = _message(tmp_path, text)
    assert "unknown key 'inner.half_live_days'; did you mean 'half_life_days'?" in message
    assert "spec.yaml:4" in message


def test_an_unknown_key_inside_a_mapping_of_models_is_found_too(tmp_path: Path) -> None:
    text = "name: a\ninner: {half_life_days: 1}\nmany:\n  x:\n    half_life_days: 1\n    halflife_days: 1\n"
    message = _message(tmp_path, text)
    assert "did you mean 'half_life_days'?" in message
    assert "spec.yaml:6" in message


def test_a_wrong_value_shows_what_it_was(tmp_path: Path) -> None:
    message = _message(tmp_path, "name: a\ninner:\n  half_life_days: -1\n")
    assert "inner.half_life_days: Input should be greater than 0, was -1" in message
    assert "spec.yaml:3" in message


def test_all_problems_of_a_file_are_told_at_once(tmp_path: Path) -> None:
    message = _message(tmp_path, "nam: a\ninner:\n  half_life_days: -1\n")
    assert "3 problems in this file" in message
    assert "the key 'name' is missing" in message


def test_a_key_that_stands_twice_is_refused(tmp_path: Path) -> None:
    message = _message(tmp_path, "name: a\ninner: {half_life_days: 1}\nname: b\n")
    assert "the key 'name' stands twice" in message
    assert "spec.yaml:3 (first on line 1)" in message


def test_broken_yaml_names_the_place(tmp_path: Path) -> None:
    message = _message(tmp_path, "name: [a\ninner: b\n")
    assert "not valid YAML" in message
    assert "spec.yaml:2" in message


def test_an_empty_file_is_not_a_spec(tmp_path: Path) -> None:
    assert "spec_invalid" in _message(tmp_path, "")


def test_a_missing_file_offers_its_neighbour(tmp_path: Path) -> None:
    _file(tmp_path, "name: a\n")
    with pytest.raises(SpecError, match=r"does not exist[\s\S]*did you mean spec.yaml"):
        load_spec(tmp_path / "spce.yaml", Outer)


def test_yaml_that_would_run_code_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SpecError):
        read_yaml(_file(tmp_path, "name: !!python/object/apply:os.getcwd []\n"))


def test_the_hash_sees_values_and_not_layout(tmp_path: Path) -> None:
    first, second = tmp_path / "a.yaml", tmp_path / "b.yaml"
    first.write_text("x: 1\ny: [1, 2]\n")
    second.write_text("# a comment\ny:   [1,   2]\nx: 1\n")
    assert spec_hash(read_yaml(first)[0]) == spec_hash(read_yaml(second)[0])
    second.write_text("y: [2, 1]\nx: 1\n")
    assert spec_hash(read_yaml(first)[0]) != spec_hash(read_yaml(second)[0])


def test_a_stage_that_meets_other_specs_says_which_file_changed(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text("x: 1\n")
    (tmp_path / "b.yaml").write_text("x: 1\n")
    before = ontology(tmp_path, ["*.yaml"])
    ontology(tmp_path, ["*.yaml"]).require(before.files, what="the candidates")
    (tmp_path / "b.yaml").write_text("x: 2\n")
    after = ontology(tmp_path, ["*.yaml"])
    assert after.hash != before.hash
    with pytest.raises(OntologyMismatch, match=r"the candidates was made under other specs[\s\S]*where: b.yaml"):
        after.require(before.files, what="the candidates")


def test_a_spec_name_without_a_file_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match="no spec file matches"):
        ontology(tmp_path, ["nothing*.yaml"])


class Numbers(SpecModel):
    rate: float = 1.0
    count: int | None = None
    flag: bool = False
    many: dict[str, float] = Field(default_factory=dict)
    several: tuple[float, ...] = ()
    either: bool | float = 0.0
    text: str = ""
    names: list[str] = Field(default_factory=list)


@pytest.mark.parametrize(
    ("text", "said", "line"),
    [
        ("rate: true\n", "rate: a number was expected and this is a truth value", 1),
        ("flag: true\ncount: false\n", "count: a number was expected", 2),
        ("many:\n  a: 1\n  b: true\n", "many.b: a number was expected", 3),
        ("several: [1, true]\n", "several.1: a number was expected", 1),
        ("rate: .inf\n", "rate: Input should be a finite number", 1),
        ("rate: .nan\n", "rate: Input should be a finite number", 1),
        ("several: [1, -.inf]\n", "several.1: Input should be a finite number", 1),
        ("rate: yes\n", 'quote it: "yes"; or write true or false', 1),
        ("names: [A, ON]\n", "YAML reads ON as true", 1),
        ("names: [A, NO]\n", "YAML reads NO as false", 1),
        ("text: off\n", 'quote it: "off"', 1),
        ("on: 1\n", "YAML reads on as true", 1),
        ("text: 12:30\n", "one number to the base of sixty", 1),
        ("names: [600000]\n", "YAML reads it as 600000; quote it", 1),
        ("flag: true\nrate: 2024-13-01\n", "this cannot be read as a value: 2024-13-01", 2),
        ("rate: " + "9" * 5_000 + "\n", "(5,000 characters)", 1),
        ("? [a]\n: 1\n", "a key is a word", 1),
        ("flag: true\ntext: a\x07b\n", "a character that YAML does not allow", 2),
    ],
)
def test_values_are_checked_for_what_they_mean(text: str, said: str, line: int, tmp_path: Path) -> None:
    with pytest.raises(SpecError) as caught:
        load_spec(_file(tmp_path, text), Numbers)
    message = str(caught.value)
    assert said in message
    assert f"spec.yaml:{line}" in message
    assert "  next: " in message
    assert len(message) < 1_000


def test_truth_values_stand_where_they_are_meant(tmp_path: Path) -> None:
    found = load_spec(_file(tmp_path, "flag: true\neither: false\ncount:\nnames: ['NO', \"ON\"]\n"), Numbers)
    assert (found.flag, found.either, found.count, found.names) == (True, False, None, ["NO", "ON"])


def test_blanks_are_kept_and_the_ends_of_block_texts_are_not(tmp_path: Path) -> None:
    assert load_spec(_file(tmp_path, "text: '; '\nnames: [' a', \"\\t\"]\n"), Numbers).text == "; "
    assert load_spec(_file(tmp_path, "text: '; '\nnames: [' a', \"\\t\"]\n"), Numbers).names == [" a", "\t"]
    assert load_spec(_file(tmp_path, "text: |\n  one\n   two\n"), Numbers).text == "one\n two"


def _nested(levels: int) -> str:
    return "[" * levels + "]" * levels


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (_nested(41), "nests too deep"),
        (_nested(200_000), "nests too deep"),
        ("- " * 5_000 + "x\n", "nests too deep"),
        ("a: &a [1]\nb: &b [*a, *b]\n", "stands inside its own anchor"),
        ("x: " + "y" * 5_000_000, "too large for a spec"),
    ],
    ids=["forty-one", "two hundred thousand", "dashes", "a circle", "five megabytes"],
)
def test_what_would_end_the_process_is_refused(text: str, said: str, tmp_path: Path) -> None:
    with pytest.raises(SpecError, match=said):
        read_yaml(_file(tmp_path, text))


def test_forty_levels_and_aliases_are_read(tmp_path: Path) -> None:
    assert read_yaml(_file(tmp_path, "a: &a [1, 2]\nb: *a\nc: {d: *a}\n"))[0]["c"] == {"d": [1, 2]}
    assert read_yaml(_file(tmp_path, _nested(40)))[0]


def test_an_alias_bomb_is_refused_by_its_size_written_out(tmp_path: Path) -> None:
    """Six levels of ten: a hundred lines for a person, a million values for whoever writes them out."""
    levels = "".join(f"l{k}: &l{k} [{', '.join([f'*l{k - 1}'] * 10)}]\n" for k in range(1, 7))
    with pytest.raises(SpecError, match="aliases are written out"):
        read_yaml(_file(tmp_path, "l0: &l0 [x]\n" + levels))


def test_a_pipe_and_a_folder_are_no_specs(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.yaml")
    for name in ("pipe.yaml", "."):
        with pytest.raises(SpecError, match="this is no file"):
            read_yaml(tmp_path / name)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("name: a\ninner:\n  half_life_days: 36526\n", r"more than a century \(36,525 days\)[\s\S]*spec.yaml:3"),
        ("name: a\ninner: {half_life_days: 1e300}\n", "inner.half_life_days: a span of more than a century"),
        ("name: 99999999999999999999\ninner: {half_life_days: 1}\n", "name: a whole number of more than 64 bits"),
    ],
)
def test_a_number_that_can_count_nothing_is_refused_where_it_stands(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(SpecError, match=message):
        load_spec(_file(tmp_path, text), Outer)


def test_a_century_is_taken(tmp_path: Path) -> None:
    found = load_spec(_file(tmp_path, "name: a\ninner: {half_life_days: 36525}\n"), Outer)
    assert found.inner.half_life_days == 36525.0


@pytest.mark.parametrize(
    ("first", "last", "said"),
    [("2024-13", "null", "first_month"), ("2024-00", "null", "first_month"), ("2024-03", "2024-01", "lies before")],
)
def test_a_month_that_does_not_exist_or_lies_before_the_first_is_refused(
    tmp_path: Path, first: str, last: str, said: str
) -> None:
    path = tmp_path / "perps.yaml"
    last = last if last == "null" else f'"{last}"'
    path.write_text(f'source: s\nsymbols: [AUSDT]\nfirst_month: "{first}"\nlast_month: {last}\n')
    with pytest.raises(SpecError, match=said):
        load_spec(path, PerpMarketSpec)


def test_a_median_that_needs_more_rows_than_it_is_taken_over_is_refused(tmp_path: Path) -> None:
    text = (SPECS / "cleaning" / "equity.yaml").read_text().replace("  minimum_rows: 5\n", "  minimum_rows: 21\n")
    with pytest.raises(SpecError, match=r"minimum_rows \(21\) are more than rows_before \(20\)"):
        load_spec(_file(tmp_path, text), CleaningSpec)
