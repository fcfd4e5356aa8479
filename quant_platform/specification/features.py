"""Typed model of ``specs/features/*.yaml``: named expressions over the columns of one table."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from pydantic import Field, field_validator, model_validator

from quant_platform.contracts.errors import SpecError
from quant_platform.specification.loading import SpecModel, load_spec, read_yaml
from quant_platform.specification.places import Place, place_of

NAME = re.compile(r"[a-z][a-z0-9_]*")
KEY_COLUMNS = frozenset({"ticker", "symbol", "session", "bar"})


class FeatureSpec(SpecModel):
    """One feature."""

    expression: str = Field(description="What it is, in the expression language.")
    description: str = Field(description="What it measures, in a sentence.")
    unit: str = Field(description="Unit of the value, for example fraction or log return per year.")
    factor: bool = Field(
        default=False, description="Whether it is ranked across stocks and its information coefficients are reported."
    )
    expected_sign: Literal[-1, 0, 1] | None = Field(
        default=None,
        description="Sign of the relation with later returns in the reference, 0 for none. Required of a factor.",
    )
    reference: str = Field(default="", description="Author and year. Required of a factor.")

    @model_validator(mode="after")
    def _a_factor_states_what_it_expects(self) -> FeatureSpec:
        if self.factor and (self.expected_sign is None or not self.reference):
            raise ValueError("a factor needs expected_sign and reference, stated before its results are seen")
        return self


class FeatureFile(SpecModel):
    """One file of features."""

    definitions: dict[str, str] = Field(
        default_factory=dict, description="Intermediate expressions that any feature may name."
    )
    features: dict[str, FeatureSpec] = Field(description="Features by name; the name is the column.")

    @field_validator("definitions", "features")
    @classmethod
    def _names_are_plain(cls, named: dict[str, object]) -> dict[str, object]:
        for name in named:
            if not NAME.fullmatch(name) or name in KEY_COLUMNS:
                raise ValueError(f"the name {name!r} cannot be a column; use lower-case letters, digits and _")
        return named


@dataclass(frozen=True)
class FeatureSet:
    """All features of a table, from one file or several.

    Parameters
    ----------
    features
        Feature name to its spec, in the order of the files.
    definitions
        Intermediate name to expression.
    places
        Where each expression stands.
    """

    features: Mapping[str, FeatureSpec]
    definitions: Mapping[str, str]
    places: Mapping[str, Place]


def equity_feature_files(specs: Path) -> list[Path]:
    """``features/equity.yaml`` and every ``features/equity_*.yaml`` beside it, in alphabetical order."""
    folder = specs / "features"
    return [folder / "equity.yaml", *sorted(folder.glob("equity_*.yaml"))]


def load_equity_features(specs: Path) -> FeatureSet:
    """Read the features of daily equity bars.

    Parameters
    ----------
    specs
        Folder of the specs.

    Raises
    ------
    SpecError
        A file is not valid, or a name is defined in two files.
    """
    return load_features(equity_feature_files(specs))


def load_features(paths: Iterable[Path]) -> FeatureSet:
    """Read the features of one table from one file or several.

    Raises
    ------
    SpecError
        A file is not valid, or a name is defined in two files.
    """
    features: dict[str, FeatureSpec] = {}
    definitions: dict[str, str] = {}
    places: dict[str, Place] = {}
    for path in paths:
        content = load_spec(path, FeatureFile)
        lines = read_yaml(path)[1]
        found = {
            **{name: place_of(path, lines, ("definitions", name), text) for name, text in content.definitions.items()},
            **{
                name: place_of(path, lines, ("features", name, "expression"), feature.expression)
                for name, feature in content.features.items()
            },
        }
        twice = sorted(found.keys() & places.keys()) or sorted(content.definitions.keys() & content.features.keys())
        if twice:
            first = places.get(twice[0], found[twice[0]])
            raise SpecError(
                f"{twice[0]!r} is defined twice",
                where=f"{found[twice[0]].file}:{found[twice[0]].line} (also {first.file}:{first.line})",
                how_many=f"{len(twice)} of {len(found)} names",
                action="rename or remove one of them",
            )
        features.update(content.features)
        definitions.update(content.definitions)
        places.update(found)
    return FeatureSet(features, definitions, places)
