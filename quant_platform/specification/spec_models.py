"""Which model reads which spec file: what the reference page of the specs is generated from."""

from __future__ import annotations

from collections.abc import Mapping

from quant_platform.specification.activation import ActivationSpec
from quant_platform.specification.checks import ChecksSpec
from quant_platform.specification.cleaning import CleaningSpec
from quant_platform.specification.discovery import DiscoverySpec, GatesSpec, TemplatesFile
from quant_platform.specification.events import EventSpec, FamiliesFile
from quant_platform.specification.factors import FactorSpec
from quant_platform.specification.features import FeatureFile
from quant_platform.specification.home import HomeSpec, PerpMarketSpec, SchedulesSpec, UniverseSpec
from quant_platform.specification.lake import LakeSpec
from quant_platform.specification.loading import SpecModel
from quant_platform.specification.market_context import ContextSpec
from quant_platform.specification.perp_market import MarketSpec, PerpCleaningSpec
from quant_platform.specification.perp_sources import PerpSourceSpec
from quant_platform.specification.replay import ReplaySpec, SweepSpec
from quant_platform.specification.setups import SetupSpec
from quant_platform.specification.sources import SourceSpec
from quant_platform.specification.states import StatesSpec
from quant_platform.specification.strategies import StrategySpec

SPEC_MODELS: Mapping[str, type[SpecModel]] = {
    "home.yaml": HomeSpec,
    "perps.yaml": PerpMarketSpec,
    "schedules.yaml": SchedulesSpec,
    "checks.yaml": ChecksSpec,
    "lake.yaml": LakeSpec,
    "universe/*.yaml": UniverseSpec,
    "sources/*.yaml": SourceSpec,
    "sources/simulated_perp.yaml": PerpSourceSpec,
    "sources/binance.yaml": PerpSourceSpec,
    "sources/perp_files.yaml": PerpSourceSpec,
    "cleaning/equity.yaml": CleaningSpec,
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
}
