"""The kinds of figures, one function each: from a table to a finished figure.

================  ======================================================================================================
function          for example
================  ======================================================================================================
`lines`           equity over time, several strategies, a band; cumulative IC
`underwater`      drawdown
`months`          returns by month and year
`points`          expectancy by year or threshold, calibration; whiskers, stars, rings, labels
`decay`           mean IC by horizon with its whisker
`dots_by_row`     effect of every event, factor or symbol with its interval; a rate beside its bounds
`bars`            counts of a funnel, contributions, with intervals where there are some
`histogram`       returns, slippage, days held
`quantiles`       returns against the normal (Q-Q)
`scatter`         two measures of the same trades; zooms
`heat`            q by family and horizon; any two categories and a number
`by_hour`         spread by hour and weekday
================  ======================================================================================================

Every function takes the rows first, then :class:`~quant_platform.reports.charts.figures.Words`, then the columns by
keyword as :class:`Field`. Every figure shows its values on hovering; those over time zoom (shift and wheel) and move
(drag); a legend switches its series; without anything to draw a figure says so.
"""

from quant_platform.reports.charts.builders.distributions import histogram, quantiles, scatter
from quant_platform.reports.charts.builders.grids import by_hour, heat
from quant_platform.reports.charts.builders.intervals import bars, decay, dots_by_row, points
from quant_platform.reports.charts.builders.overtime import lines, months, underwater
from quant_platform.reports.charts.builders.parts import Field, limits_of

__all__ = [
    "Field",
    "bars",
    "by_hour",
    "decay",
    "dots_by_row",
    "heat",
    "histogram",
    "limits_of",
    "lines",
    "months",
    "points",
    "quantiles",
    "scatter",
    "underwater",
]
