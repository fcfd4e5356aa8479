"""Hashes that tie a result to the definitions it was made under."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from quant_platform.contracts.errors import OntologyMismatch, SpecError
from quant_platform.specification.yaml_text import parse_yaml, read_text


def spec_hash(content: Any) -> str:
    """SHA-256 of the canonical content: key order, comments and layout do not count, every value does."""
    canonical = json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=False, default=str)
    return hashlib.sha256(canonical.encode()).hexdigest()


@dataclass(frozen=True)
class Ontology:
    """The spec files a result depends on, each with the hash of its content."""

    files: Mapping[str, str]

    @property
    def hash(self) -> str:
        """One SHA-256 over all files, names included."""
        return spec_hash(dict(self.files))

    def require(self, other: Mapping[str, str], *, what: str) -> None:
        """Refuse rows that were made under other specs.

        Raises
        ------
        OntologyMismatch
            Naming each file that changed, appeared or went.
        """
        if dict(other) == dict(self.files):
            return
        changed = sorted(name for name in {*other, *self.files} if other.get(name) != self.files.get(name))
        raise OntologyMismatch(
            f"{what} was made under other specs than those in force",
            where=", ".join(changed),
            how_many=f"{len(changed)} of {len(self.files)} files differ",
            cause="a spec was edited after the rows were made",
            action="materialise the upstream assets again, or restore the spec",
        )


def ontology(specs: Path, names: Iterable[str]) -> Ontology:
    """Hash the named spec files; a name may be a glob such as ``features/equity*.yaml``.

    Raises
    ------
    SpecError
        When a name matches no file.
    """
    files: dict[str, str] = {}
    for name in names:
        matches = sorted(specs.glob(name))
        if not matches:
            raise SpecError(
                f"no spec file matches {name!r}", where=str(specs), action="check QUANT_SPECS or restore the file"
            )
        for path in matches:
            files[path.relative_to(specs).as_posix()] = _text_hash(read_text(path), path)
    return Ontology(files)


# A process that runs a graph asks for the same hundred files at every step.
@lru_cache(maxsize=1024)
def _text_hash(text: str, path: Path) -> str:
    return spec_hash(parse_yaml(text, path)[0] if path.suffix == ".yaml" else text)
