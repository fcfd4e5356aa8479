"""Which model reads which spec file, and the hash of what the models make of the files."""

from __future__ import annotations

from collections.abc import Mapping
from fnmatch import fnmatch
from functools import lru_cache
from pathlib import Path

from quant_platform.contracts.errors import SpecError
from quant_platform.specification.activation import ActivationSpec
from quant_platform.specification.calendars import CalendarSpec
from quant_platform.specification.checks import ChecksSpec
from quant_platform.specification.cleaning import CleaningSpec, FundamentalsCleaningSpec
from quant_platform.specification.deployment import DeploymentSpec
from quant_platform.specification.discovery import DiscoverySpec, GatesSpec, TemplatesFile
from quant_platform.specification.event_backtest import EventBacktestSpec
from quant_platform.specification.events import EventSpec, FamiliesFile
from quant_platform.specification.factors import FactorSpec
from quant_platform.specification.features import FeatureFile
from quant_platform.specification.home import HomeSpec, PerpMarketSpec, SchedulesSpec, UniverseSpec
from quant_platform.specification.lake import LakeSpec
from quant_platform.specification.loading import SpecModel, load_spec
from quant_platform.specification.market_context import ContextSpec
from quant_platform.specification.ontology import spec_hash
from quant_platform.specification.operations import AlertsSpec, EvidenceSpec, RoutingSpec, SleevesSpec, VenueSpec
from quant_platform.specification.perp_market import MarketSpec, PerpCleaningSpec
from quant_platform.specification.perp_sources import PerpSourceSpec
from quant_platform.specification.replay import ReplaySpec, SweepSpec
from quant_platform.specification.setups import SetupSpec
from quant_platform.specification.sources import SourceSpec
from quant_platform.specification.states import StatesSpec
from quant_platform.specification.strategies import StrategySpec
from quant_platform.specification.suite import (
    AuditSpec,
    BaselinesFile,
    CompositeSpec,
    ContractSpec,
    CostsSpec,
    ExperimentSpec,
    LightweightSpec,
    PresetSpec,
    SuiteSpec,
    VerdictSpec,
)

SPEC_MODELS: Mapping[str, type[SpecModel]] = {
    "home.yaml": HomeSpec,
    "perps.yaml": PerpMarketSpec,
    "schedules.yaml": SchedulesSpec,
    "checks.yaml": ChecksSpec,
    "lake.yaml": LakeSpec,
    "deployment.yaml": DeploymentSpec,
    "universe/*.yaml": UniverseSpec,
    "calendars/*.yaml": CalendarSpec,
    "sources/*.yaml": SourceSpec,
    "sources/simulated_perp.yaml": PerpSourceSpec,
    "sources/binance.yaml": PerpSourceSpec,
    "sources/perp_files.yaml": PerpSourceSpec,
    "cleaning/equity.yaml": CleaningSpec,
    "cleaning/fundamentals.yaml": FundamentalsCleaningSpec,
    "cleaning/perp.yaml": PerpCleaningSpec,
    "market/perp.yaml": MarketSpec,
    "features/equity*.yaml": FeatureFile,
    "setups/equity.yaml": SetupSpec,
    "replay/equity.yaml": ReplaySpec,
    "activation.yaml": ActivationSpec,
    "sweeps/*.yaml": SweepSpec,
    "factors/equity.yaml": FactorSpec,
    "features/market_5m*.yaml": FeatureFile,
    "states.yaml": StatesSpec,
    "strategies/*.yaml": StrategySpec,
    "families.yaml": FamiliesFile,
    "context.yaml": ContextSpec,
    "events/*.yaml": EventSpec,
    "templates.yaml": TemplatesFile,
    "discovery.yaml": DiscoverySpec,
    "gates.yaml": GatesSpec,
    "backtest.yaml": EventBacktestSpec,
    "suite/suite.yaml": SuiteSpec,
    "suite/costs.yaml": CostsSpec,
    "suite/contract.yaml": ContractSpec,
    "suite/audit.yaml": AuditSpec,
    "suite/lightweight.yaml": LightweightSpec,
    "suite/verdict.yaml": VerdictSpec,
    "suite/baselines.yaml": BaselinesFile,
    "suite/perp_baselines.yaml": BaselinesFile,
    "suite/presets/*.yaml": PresetSpec,
    "suite/composites/*.yaml": CompositeSpec,
    "experiments/*.yaml": ExperimentSpec,
    "operations/routing.yaml": RoutingSpec,
    "operations/sleeves.yaml": SleevesSpec,
    "operations/evidence.yaml": EvidenceSpec,
    "operations/venue.yaml": VenueSpec,
    "operations/alerts.yaml": AlertsSpec,
}

# A source file of a person's own is read by the model of the market that names it.
_SOURCES: Mapping[str, type[SpecModel]] = {"sources/{source}.yaml": SourceSpec, "sources/{perps}.yaml": PerpSourceSpec}


def model_of(pattern: str) -> type[SpecModel]:
    """The model that reads the files of a pattern.

    Parameters
    ----------
    pattern
        A path below ``specs/``, a glob, or one with ``{source}`` or ``{perps}`` for the sources of a home.

    Raises
    ------
    SpecError
        When no model is declared for it.
    """
    found = _SOURCES.get(pattern) or SPEC_MODELS.get(pattern)
    if found is None:
        found = next((model for known, model in SPEC_MODELS.items() if fnmatch(pattern, known)), None)
    if found is None:
        raise SpecError(f"no model is declared for {pattern!r}", action="add it to SPEC_MODELS")
    return found


def validated_hash(path: Path, model: type[SpecModel]) -> str:
    """Hash of a spec file as its model reads it: defaults that the file does not state count, layout does not.

    Raises
    ------
    SpecError
        When the file does not satisfy the model.
    """
    state = path.stat()
    return _validated(path, model, state.st_mtime_ns, state.st_size)


@lru_cache(maxsize=1024)
def _validated(path: Path, model: type[SpecModel], modified: int, size: int) -> str:
    del modified, size
    return spec_hash(load_spec(path, model).model_dump(mode="json"))
