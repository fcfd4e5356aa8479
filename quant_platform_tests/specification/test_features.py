from __future__ import annotations

from pathlib import Path

import pytest

from quant_platform.contracts.errors import SpecError
from quant_platform.specification.features import load_equity_features
from quant_platform.specification.loading import read_yaml
from quant_platform.specification.places import Place, place_of

PLAIN = "features:\n  calm:\n    expression: close\n    description: d\n    unit: u\n"


@pytest.fixture
def specs(tmp_path: Path) -> Path:
    (tmp_path / "features").mkdir()
    (tmp_path / "features" / "equity.yaml").write_text(PLAIN, encoding="utf-8")
    return tmp_path


def add(specs: Path, name: str, text: str) -> None:
    (specs / "features" / name).write_text(text, encoding="utf-8")


def test_a_further_file_adds_features_after_the_first(specs: Path) -> None:
    add(specs, "equity_own.yaml", PLAIN.replace("calm", "wild") + "definitions:\n  twice: 2*close\n")
    add(specs, "crypto.yaml", "features: {}\n")
    found = load_equity_features(specs)
    assert list(found.features) == ["calm", "wild"]
    assert found.definitions == {"twice": "2*close"}
    assert found.places["wild"].file.endswith("equity_own.yaml")
    assert (found.places["wild"].line, found.places["wild"].column) == (3, 17)
    assert (found.places["twice"].line, found.places["twice"].column) == (7, 10)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (PLAIN, r"'calm' is defined twice(.|\n)*equity_own.yaml:3 \(also .*equity.yaml:3\)"),
        ("definitions: {calm: close}\nfeatures: {}\n", "'calm' is defined twice"),
        ("definitions: {a: close}\n" + PLAIN.replace("calm", "a"), "'a' is defined twice"),
        (PLAIN.replace("unit", "units").replace("calm", "a"), "did you mean 'unit'"),
        (PLAIN.replace("calm", "session"), "the name 'session' cannot be a column"),
        (PLAIN.replace("calm", "Calm day"), "the name 'Calm day' cannot be a column"),
        (PLAIN.replace("calm", "a") + "    factor: true\n", "a factor needs expected_sign and reference"),
        (PLAIN.replace("calm", "a") + "    expected_sign: 2\n", "expected_sign"),
    ],
)
def test_faulty_files_are_refused(specs: Path, text: str, message: str) -> None:
    add(specs, "equity_own.yaml", text)
    with pytest.raises(SpecError, match=message):
        load_equity_features(specs)


@pytest.mark.parametrize(
    ("yaml", "line", "column"),
    [
        ("a: close+1\n", 1, 4),
        ("a:   'close+1'\n", 1, 7),
        ("a: >\n  close+1\n", 2, 3),
        ("a: |\n\n    close+1\n", 3, 5),
        ("a: 'close''s'\n", 1, 1),
        ("{b: 1, a: close+1}\n", 1, 11),
    ],
)
def test_place_of_an_expression(tmp_path: Path, yaml: str, line: int, column: int) -> None:
    path = tmp_path / "x.yaml"
    path.write_text(yaml, encoding="utf-8")
    document, lines = read_yaml(path)
    assert place_of(path, lines, ("a",), document["a"]) == Place(str(path), line, column)
