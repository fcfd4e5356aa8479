from __future__ import annotations

from quant_platform.labs.suite import kernels
from quant_platform.labs.suite.backtest import Workbench, run_variants
from quant_platform.labs.suite.build import build_panel
from quant_platform.labs.suite.panel import dense_signal
from quant_platform.labs.suite.warm import compile_kernels
from quant_platform.sources.simulated import SimulatedSource
from quant_platform.specification.suite import load_preset, load_suite
from quant_platform_tests.labs.suite.simulated import SPECS, clean_tables, source_spec
from quant_platform_tests.labs.suite.worlds import slow_signal


def signatures() -> dict[str, int]:
    found = {name: len(getattr(kernel, "signatures", ())) for name, kernel in vars(kernels).items()}
    return {name: count for name, count in found.items() if count}


def test_what_is_compiled_ahead_is_what_a_suite_uses():
    """A second signature would be a second compilation in front of a user."""
    assert compile_kernels() == len(signatures()) == 10
    before = signatures()
    specs = load_suite(SPECS)
    tables = clean_tables(SimulatedSource(source_spec(names=30, years=2)))
    panel = build_panel(tables, specs.suite, exchange="XNYS", universe="simulated")
    score = slow_signal(1, names=panel.shape[1], sessions=panel.shape[0])
    configs = [c.model_copy(update={"mincos": 2}) for c in load_preset(SPECS, "DEEP").configs()[::29]]
    run_variants(dense_signal("s", score), configs, Workbench(panel, specs.suite, specs.costs))
    assert signatures() == before
