"""How a figure and a page are made, in one place: Vega-Altair draws, the page around it is ours.

**A figure** is built from a table (a Polars frame, or rows as mappings) by a function of `builders`, never from a lab::

    from quant_platform.reports.charts import builders, pages
    from quant_platform.reports.charts.builders import Field
    from quant_platform.reports.charts.figures import Words

    equity = builders.lines(
        frame,                                   # columns session, equity, drawdown
        Words("Equity", "Equity after cost, from 1.0.", sql="select session, equity from suite.equity", simulated=True),
        x=Field("session", "session", "date"),
        y=Field("equity", "equity, multiple of the start"),
    )
    below = builders.underwater(frame, Words("Drawdown", "..."), x=Field("session", "session", "date"),
                                y=Field("drawdown", "below the last high", "percent"))

**A page** is text around blocks; it loads nothing, works without script, and prints::

    text = pages.page(
        "Tear sheet of momentum",
        pages.heading("Suite", "Tear sheet of momentum", "One sentence that says the result."),
        pages.section("Performance", "How to read it.", pages.beside(pages.figures([equity, below], wide=True),
                      pages.definitions({"Sharpe": pages.number_cell(0.81, 2)})), anchor="performance"),
        simulated=True,
    )

`pages.beside` puts figures left and numbers right. In a web app: ``st.altair_chart(equity.chart, theme=None)``; a
picture: `figures.png`, `figures.svg`. Importing `builders` imports Altair (0.9 s): a module that Dagster loads at start
imports it inside the function that draws. `thumbnail` has the one figure that is drawn in every run, and needs none of
it.

======================  ================================================================================================
module                  what it has
======================  ================================================================================================
`builders`              one function per kind of figure; its docstring is the list
`figures`               `Words`, `Figure`, PNG, SVG, CSV, the dark spec
`theme`                 colours by role for light, dark and print; type
`pages`                 blocks: banner, heading, tiles, section, figures, beside, definitions, cards, page
`tables`                tables whose columns sort, cells that say why they are empty
`embedding`             a figure inside a page: still SVG, live spec, data, query; Vega once
`markup`, `formatting`  escaped HTML; how a number is written
`fields`                reading a report's mappings
`thumbnail`             a bar chart of a few numbers as a data URI
======================  ================================================================================================
"""
