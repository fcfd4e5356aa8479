"""The trailing-only expression language: features, states, events and factors as text that cannot see the future.

``compile_plan`` checks expressions and derives their memory; ``Plan.run`` computes them over the bars of one
instrument.

>>> import numpy as np
>>> plan = compile_plan({"reversal": "-(close/lag(close,2)-1)"}, {"close": Kind.NUMBER})
>>> plan.memory["reversal"]
2
>>> plan.run({"close": np.array([8.0, 9.0, 10.0])}).values["reversal"].tolist()
[nan, nan, -0.25]
"""

from quant_platform.expressions.evaluate import Evaluation, Use
from quant_platform.expressions.frames import evaluate_frame, evaluate_stacked
from quant_platform.expressions.location import Formula, Location
from quant_platform.expressions.nodes import Kind
from quant_platform.expressions.plan import Plan, compile_plan
from quant_platform.expressions.primitives import PRIMITIVES, Primitive

__all__ = [
    "PRIMITIVES",
    "Evaluation",
    "Formula",
    "Kind",
    "Location",
    "Plan",
    "Primitive",
    "Use",
    "compile_plan",
    "evaluate_frame",
    "evaluate_stacked",
]
