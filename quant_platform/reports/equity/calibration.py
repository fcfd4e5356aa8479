"""Whether the stated target probability can be taken at its word, and whether a recalibration would help."""

from __future__ import annotations

from quant_platform.reports.charts import builders, formatting, theme
from quant_platform.reports.charts.builders import Field
from quant_platform.reports.charts.fields import Fields, fields, rows, value_of
from quant_platform.reports.charts.figures import Figure, Words
from quant_platform.reports.charts.markup import Html
from quant_platform.reports.charts.pages import figures, paragraph, section
from quant_platform.reports.charts.tables import Cell, Column, Row, Table, interval_text, number_cell, table
from quant_platform.reports.queries import literal

OBSERVED = ("observed_rate", "observed_low", "observed_high")
MODELS = ("stated", "recalibrated")
NO_SUMMARY = "too few resolved trades for this model"


def calibration_section(report: Fields, *, anchor: str) -> Html:
    """Calibration curves with their intervals, and the decomposition of the Brier score."""
    calibration = fields(report, "calibration")
    models = {name: fields(calibration, name) for name in MODELS}
    explanation = (
        "Trades are sorted by the probability the model gave them and cut into bins of equal count; a dot on the "
        "diagonal kept its word. Bars are 95% intervals that allow for trades that share their market, of one "
        "week and of the weeks around it. The recalibrated curve is out of sample: each "
        "fold was fitted on earlier weeks only."
    )
    return section(
        "Calibration of the target probability",
        explanation,
        figures([calibration_figure(report, name, model) for name, model in models.items()], wide=True),
        table(_brier_table(models)),
        _proposal(fields(models["recalibrated"], "summary")),
        anchor=anchor,
        simulated=bool(report.get("simulated")),
    )


def calibration_figure(report: Fields, name: str, model: Fields) -> Figure:
    """Observed against modelled rate by bin; the diagonal is perfect calibration."""
    bins = rows(model, "bins")
    ends = [value_of(row, key) for row in bins for key in ("mean_probability", *OBSERVED)]
    low, high = builders.limits_of(ends, zero=False) or (0.0, 1.0)
    limits = max(0.0, low), min(1.0, high)
    trades = sum(int(value_of(row, "n") or 0) for row in bins)
    return builders.points(
        bins,
        Words(
            f"{name.capitalize()} probability",
            "Observed rate by bin of modelled probability: " + ("; ".join(_words(row) for row in bins) or "no bins"),
            note=f"n = {formatting.count(trades)} trades in {len(bins)} bins",
            sql=(
                "select mean_probability, observed_rate, observed_low, observed_high, n\nfrom replay.calibration\n"
                f"where as_of_week = {literal(report.get('as_of_week'))} and model = {literal(name)} and bin >= 0\n"
                "order by bin"
            ),
            simulated=bool(report.get("simulated")),
        ),
        x=Field("mean_probability", "mean modelled probability", "percent", limits=limits),
        y=Field("observed_rate", "observed rate, 95% interval", "percent", limits=limits),
        low=Field("observed_low", "low", "percent"),
        high=Field("observed_high", "high", "percent"),
        diagonal=True,
        tips=[Field("n", "trades", "count")],
        colour=theme.LIGHT.first if name == "stated" else theme.LIGHT.second,
        width=460,
        height=320,
    )


def _words(row: Fields) -> str:
    modelled, observed = value_of(row, "mean_probability"), value_of(row, "observed_rate")
    n = value_of(row, "n")
    return (
        f"modelled {_share(modelled)}, observed {_share(observed)} "
        f"[{_share(value_of(row, 'observed_low'))}, {_share(value_of(row, 'observed_high'))}], "
        f"n {'n/a' if n is None else formatting.count(n)}"
    )


def _share(value: float | None) -> str:
    return "n/a" if value is None else formatting.percent(value)


def _brier_table(models: dict[str, Fields]) -> Table:
    summaries = {name: fields(model, "summary") for name, model in models.items()}
    return Table(
        caption="Brier score = reliability − resolution + uncertainty (Murphy 1973)",
        columns=(
            Column("Model", numeric=False),
            Column("n", "trades"),
            Column("Modelled", "mean probability"),
            Column("Observed", "95%, overlap allowed for"),
            Column("Brier", "lower is better"),
            Column("Reliability", "lower is better"),
            Column("Resolution", "higher is better"),
            Column("Uncertainty", "of outcomes"),
            Column("ECE", "mean |gap|"),
            Column("z", "Spiegelhalter"),
        ),
        rows=tuple(_brier_row(name, summary) for name, summary in summaries.items()),
        note=(
            "The decomposition is over the bins and ignores how probabilities vary inside one, so it differs from the "
            "Brier score by a trace. Spiegelhalter's z treats trades as independent and so overstates."
        ),
    )


def _brier_row(name: str, summary: Fields) -> Row:
    def plain(key: str, decimals: int = 3) -> Cell:
        return number_cell(summary.get(key), decimals, missing=NO_SUMMARY)

    return Row(
        cells=(
            Cell(name),
            plain("n", 0),
            number_cell(summary.get("mean_probability"), 1, percent=True, missing=NO_SUMMARY),
            number_cell(
                summary.get("observed_rate"),
                1,
                percent=True,
                detail=interval_text(summary.get("observed_low"), summary.get("observed_high"), 1, percent=True),
                missing=NO_SUMMARY,
            ),
            plain("brier"),
            plain("reliability"),
            plain("resolution"),
            plain("uncertainty"),
            plain("expected_calibration_error"),
            number_cell(summary.get("spiegelhalter_z"), 2, signed=True, missing=NO_SUMMARY),
        )
    )


def _proposal(summary: Fields) -> Html:
    """The proposed recalibration in one sentence, with what it changed out of sample."""
    intercept, slope, change = (value_of(summary, key) for key in ("intercept", "slope", "brier_change"))
    if intercept is None or slope is None:
        return paragraph("Proposed recalibration: n/a (too few weeks to fit one and judge it out of sample).")
    formula = f"logit p = {formatting.number(intercept)} + {formatting.number(slope)} · logit p₀"
    low, high = value_of(summary, "brier_change_low"), value_of(summary, "brier_change_high")
    if change is None or low is None or high is None:
        return paragraph(f"Proposed recalibration: {formula}; its change of the Brier score is n/a (not judged).")
    if high < 0:
        verdict = "It improves the forecast."
    elif low > 0:
        verdict = "It makes the forecast worse; do not adopt it."
    else:
        verdict = "The interval holds zero: no improvement is shown."
    interval = f"[{formatting.number(low, 4, signed=True)}, {formatting.number(high, 4, signed=True)}]"
    return paragraph(
        f"Proposed recalibration: {formula}. Out of sample it changes the Brier score by "
        f"{formatting.number(change, 4, signed=True)} {interval}. {verdict}"
    )
