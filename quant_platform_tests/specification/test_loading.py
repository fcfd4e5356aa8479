"""Errors of spec files point at the file, the line and the way out."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import Field

from quant_platform.contracts.errors import OntologyMismatch, SpecError
from quant_platform.specification.loading import SpecModel, load_spec, read_yaml
from quant_platform.specification.ontology import ontology, spec_hash


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
