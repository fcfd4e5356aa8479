"""The specs that a home's graph obeys, read before work starts: a typing error costs a second, not the run."""

from __future__ import annotations

from pathlib import Path

from quant_platform.contracts.errors import CalendarError, SpecError
from quant_platform.labs.equity.features.equity import feature_plan
from quant_platform.labs.events.detection.plan import event_plan
from quant_platform.market.calendar import calendar
from quant_platform.pipeline.discovery import ONTOLOGY, discovery_specs
from quant_platform.pipeline.home import Home
from quant_platform.pipeline.studies import EVERYTHING
from quant_platform.specification.deployment import DeploymentSpec, deployment, deployment_file
from quant_platform.specification.event_lab import load_event_lab
from quant_platform.specification.features import load_equity_features
from quant_platform.specification.home import HomeSpec, PerpMarketSpec, UniverseSpec
from quant_platform.specification.loading import SpecModel, load_spec
from quant_platform.specification.perp_market import MarketSpec, PerpCleaningSpec
from quant_platform.specification.perp_sources import PerpSourceSpec
from quant_platform.specification.sources import SourceSpec
from quant_platform.specification.spec_models import SPEC_MODELS
from quant_platform.specification.sql_files import SqlHeader

_ALWAYS = ("schedules.yaml", "checks.yaml", "lake.yaml")


def check_specs(home: Home) -> int:
    """Read the spec files of a home's graph and compile its expressions; those of other markets are left alone.

    Returns
    -------
    int
        Number of files.

    Raises
    ------
    SpecError
        For the first file that does not say something the platform can obey.
    """
    files: dict[Path, type[SpecModel]] = {
        home.spec_file: HomeSpec,
        home.specs / "universe" / f"{home.spec.universe}.yaml": UniverseSpec,
        home.specs / "sources" / f"{home.spec.source}.yaml": SourceSpec,
    }
    for pattern in (*_ALWAYS, *EVERYTHING):
        paths = sorted(home.specs.glob(pattern)) if "*" in pattern else [home.specs / pattern]
        files.update(dict.fromkeys(paths, SPEC_MODELS[pattern]))
    if home.has_perps:
        files[home.perps_file] = PerpMarketSpec
        files[home.specs / "sources" / f"{home.perps.source}.yaml"] = PerpSourceSpec
        files[home.specs / "cleaning" / "perp.yaml"] = PerpCleaningSpec
        files[home.specs / "market" / "perp.yaml"] = MarketSpec
    deployed = deployment_file(home.settings)
    if deployed is not None:
        files[deployed] = DeploymentSpec
    for path, model in files.items():
        load_spec(path, model)
    deployment(home.settings)
    files.update({found.path: SqlHeader for found in home.sql})
    if home.has_bars:
        _require_calendars(home)
        feature_plan(load_equity_features(home.specs))
    if not home.has_perps:
        return len(files)
    event_plan(load_event_lab(home.specs))
    discovery_specs(home)
    return len(files) + len(home.ontology(ONTOLOGY).files)


def _require_calendars(home: Home) -> None:
    named = {
        home.specs / "universe" / f"{home.spec.universe}.yaml": home.universe.exchange,
        home.specs / "sources" / f"{home.spec.source}.yaml": home.source_spec.exchange,
    }
    for path, exchange in named.items():
        try:
            calendar(exchange)
        except CalendarError as error:
            raise SpecError(
                f"exchange: {error.what}",
                where=str(path),
                cause=error.cause,
                action=error.action or "use an ISO 10383 code such as XNYS",
            ) from error
