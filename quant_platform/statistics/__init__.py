"""Statistics on plain arrays: arrays in, frozen results out, nothing about markets.

| question | function |
|---|---|
| Does a signal order the cross-section? | :func:`rank_ic`, :func:`rank_ic_grid`, :func:`percentile_rank` |
| What does the top earn over the bottom? | :func:`quantile_returns`, :func:`quantile_spread` |
| Is the mean of an overlapping series zero? | :func:`nonoverlapping_test`, :func:`ewc_test`, :func:`group_means_test` |
| What do a factor's ICs say, in one line? | :func:`summarise_ic` |
| How sure is a mean or rate of trades that overlap in time? | :func:`mean_over_periods`, :func:`rate_over_periods` |
| How sure is a rate, a mean, a profit factor of independent groups? | :func:`wilson_interval`, ``*_bootstrap_*`` |
| Do probabilities come true, can they be corrected? | :func:`calibration_report`, :func:`out_of_sample_recalibration` |
| What survives many tests or trials? | :func:`benjamini_hochberg`, :func:`holm`, :func:`deflated_sharpe` |
| Which groups of tests hold something, and which tests in them? | :func:`benjamini_bogomolov` |
| Is the mean of events that move together zero? | :func:`clustered_means`, :func:`placebo_tests` |
| What do relatives say about a cell? | :func:`shrink_tree`, :func:`dersimonian_laird`, :func:`conservative_p` |
| Did one stretch of time make it? | :func:`time_block_stability` |
| Could an effect have been seen at all? | :func:`minimum_detectable_effect` |
| Has a distribution moved? | :func:`stability_index` |

House rules: NaN is missing and each function says what it does with it; infinity is refused unless only the order
counts; randomness comes from a generator the caller passes; a wrong argument raises ``StatisticError``.
"""

from quant_platform.statistics.bootstrap import (
    BootstrapInterval,
    block_bootstrap_mean,
    cluster_bootstrap_mean,
    cluster_bootstrap_ratio,
    overlap_block_length,
    stationary_bootstrap_indices,
)
from quant_platform.statistics.calibration import (
    BrierParts,
    CalibrationReport,
    ReliabilityBins,
    brier_score,
    calibration_report,
    log_loss,
)
from quant_platform.statistics.clustered import (
    CellIndex,
    ClusteredMeans,
    cluster_moments,
    clustered_mean,
    clustered_means,
    index_cells,
    means_from_moments,
    one_cell,
    wild_cluster_p,
)
from quant_platform.statistics.detectable import events_needed, minimum_detectable_effect
from quant_platform.statistics.drift import StabilityIndex, stability_bound, stability_index, stability_index_of_shares
from quant_platform.statistics.ic_summary import ICSummary, summarise_ic
from quant_platform.statistics.multiplicity import (
    Multiplicity,
    benjamini_hochberg,
    benjamini_yekutieli,
    bonferroni,
    holm,
)
from quant_platform.statistics.overlap import (
    MeanTest,
    NonoverlappingTest,
    cauchy_combination,
    ewc_terms,
    ewc_test,
    group_means_test,
    newey_west_test,
    nonoverlapping_test,
    one_sided_p,
    two_sided_p,
)
from quant_platform.statistics.period_sums import (
    PeriodInterval,
    Periods,
    mean_over_periods,
    rate_over_periods,
    ratio_over_periods,
)
from quant_platform.statistics.placebo import PlaceboTests, circular_offsets, placebo_tests
from quant_platform.statistics.proportions import RateInterval, wilson_interval
from quant_platform.statistics.quantile_spread import QuantileReturns, quantile_returns, quantile_spread
from quant_platform.statistics.ranks import average_rank, percentile_rank, rank_ic, rank_ic_grid, spearman
from quant_platform.statistics.recalibration import (
    NotFitted,
    OutOfSampleRecalibration,
    Recalibration,
    RecalibrationFold,
    fit_recalibration,
    out_of_sample_recalibration,
)
from quant_platform.statistics.sharpe import (
    DeflatedSharpe,
    deflated_sharpe,
    expected_maximum_sharpe,
    minimum_track_record,
    probabilistic_sharpe,
)
from quant_platform.statistics.shrinkage import (
    RandomEffects,
    ShrunkTree,
    conservative_p,
    dersimonian_laird,
    shrink_tree,
    shrunken_p,
)
from quant_platform.statistics.stability import TimeBlocks, time_block_stability
from quant_platform.statistics.two_level import (
    TwoLevelSelection,
    benjamini_bogomolov,
    grouped_benjamini_hochberg,
    simes_p,
)

__all__ = [
    "BootstrapInterval",
    "BrierParts",
    "CalibrationReport",
    "CellIndex",
    "ClusteredMeans",
    "DeflatedSharpe",
    "ICSummary",
    "MeanTest",
    "Multiplicity",
    "NonoverlappingTest",
    "NotFitted",
    "OutOfSampleRecalibration",
    "PeriodInterval",
    "Periods",
    "PlaceboTests",
    "QuantileReturns",
    "RandomEffects",
    "RateInterval",
    "Recalibration",
    "RecalibrationFold",
    "ReliabilityBins",
    "ShrunkTree",
    "StabilityIndex",
    "TimeBlocks",
    "TwoLevelSelection",
    "average_rank",
    "benjamini_bogomolov",
    "benjamini_hochberg",
    "benjamini_yekutieli",
    "block_bootstrap_mean",
    "bonferroni",
    "brier_score",
    "calibration_report",
    "cauchy_combination",
    "circular_offsets",
    "cluster_bootstrap_mean",
    "cluster_bootstrap_ratio",
    "cluster_moments",
    "clustered_mean",
    "clustered_means",
    "conservative_p",
    "deflated_sharpe",
    "dersimonian_laird",
    "events_needed",
    "ewc_terms",
    "ewc_test",
    "expected_maximum_sharpe",
    "fit_recalibration",
    "group_means_test",
    "grouped_benjamini_hochberg",
    "holm",
    "index_cells",
    "log_loss",
    "mean_over_periods",
    "means_from_moments",
    "minimum_detectable_effect",
    "minimum_track_record",
    "newey_west_test",
    "nonoverlapping_test",
    "one_cell",
    "one_sided_p",
    "out_of_sample_recalibration",
    "overlap_block_length",
    "percentile_rank",
    "placebo_tests",
    "probabilistic_sharpe",
    "quantile_returns",
    "quantile_spread",
    "rank_ic",
    "rank_ic_grid",
    "rate_over_periods",
    "ratio_over_periods",
    "shrink_tree",
    "shrunken_p",
    "simes_p",
    "spearman",
    "stability_bound",
    "stability_index",
    "stability_index_of_shares",
    "stationary_bootstrap_indices",
    "summarise_ic",
    "time_block_stability",
    "two_sided_p",
    "wild_cluster_p",
    "wilson_interval",
]
