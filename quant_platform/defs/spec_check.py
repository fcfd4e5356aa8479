"""All specs of a home, read before work starts: a typing error costs a second, not the run it would end."""

from __future__ import annotations

from pathlib import Path

from quant_platform.defs.home import Home
from quant_platform.features.equity import feature_plan
from quant_platform.reporting.spec_models import SPEC_MODELS
from quant_platform.specification.features import load_equity_features
from quant_platform.specification.home import UniverseSpec
from quant_platform.specification.loading import SpecModel, load_spec
from quant_platform.specification.sources import SourceSpec


def check_specs(home: Home) -> int:
    """Read every spec file and compile every expression.

    Returns
    -------
    int
        Number of files.

    Raises
    ------
    SpecError
        For the first file that does not say something the platform can obey.
    """
    models: dict[Path, type[SpecModel]] = {}
    for pattern, model in SPEC_MODELS.items():
        # A file that is named in full is read by its own model, whatever wider pattern also matches it.
        models.update(dict.fromkeys(sorted(home.specs.glob(pattern)), model) if "*" in pattern else {})
    models.update({home.specs / name: model for name, model in SPEC_MODELS.items() if "*" not in name})
    for path, model in models.items():
        load_spec(path, model)
    feature_plan(load_equity_features(home.specs))
    home.load(f"universe/{home.spec.universe}.yaml", UniverseSpec)
    home.load(f"sources/{home.spec.source}.yaml", SourceSpec)
    return len(models)
