"""Each page as Streamlit's own tester draws it: what it shows, what it says when empty, what a click does."""

from __future__ import annotations

import json
from datetime import date, timedelta
from pathlib import Path

import polars as pl
import pytest
from streamlit.testing.v1 import AppTest

from quant_platform.app import launching
from quant_platform.app.parts import plain
from quant_platform.pipeline.suite_history import suite_history
from quant_platform_tests.homes import Market
from quant_platform_tests.suites import AUTHOR, SIGNAL, Judged


def drawn(page: str, home: Path, specs: Path, monkeypatch: pytest.MonkeyPatch) -> AppTest:
    """A page on a home, drawn once, without a traceback on it."""
    monkeypatch.setenv("QUANT_HOME", str(home))
    monkeypatch.setenv("QUANT_SPECS", str(specs))
    script = f"from quant_platform.app.views import {page}\n{page}.show()"
    return without_fault(AppTest.from_string(script, default_timeout=60).run())


def without_fault(page: AppTest) -> AppTest:
    assert [found.value for found in page.exception] == []
    assert [found.value for found in page.error] == []
    return page


def said(page: AppTest) -> str:
    """Everything on the page that is text."""
    kinds = ("title", "subheader", "markdown", "caption", "info", "warning", "success", "error")
    return "\n".join(str(each.value) for kind in kinds for each in getattr(page, kind))


def frame(page: AppTest, *columns: str) -> pl.DataFrame:
    """The first table of the page with these columns."""
    return next(pl.DataFrame(each.value) for each in page.dataframe if {*columns} <= {*each.value.columns})


def test_results_are_those_of_the_tables(judged: Judged, monkeypatch: pytest.MonkeyPatch) -> None:
    page = drawn("results", judged.folder, judged.home.specs, monkeypatch)
    key = [(SIGNAL, judged.snapshot)]
    rules = judged.home.lake.read("suite.verdict", key)
    results = judged.home.lake.read("suite.results", key).filter(pl.col("slice_kind") == "overall")
    text = said(page)
    assert str(rules["verdict"][0]).upper() in text
    assert "SIMULATED" in text
    assert judged.second.run_id in text
    assert judged.second.mlflow_run_id in text
    # Two presets on the same sessions are two looks; nobody has stated anything beforehand.
    assert "not registered" in text
    assert "were looked at twice, with 1 signal, by 1 person" in text
    assert frame(page, "threshold", "text")["text"].to_list() == rules["text"].to_list()
    assert frame(page, "variant", "sharpe_gross")["sharpe_net"].to_list() == pytest.approx(
        results["sharpe_net"].to_list()
    )
    reference = results.filter(pl.col("variant") == rules["reference"][0]).row(0, named=True)
    assert page.metric[0].value == f"{reference['sharpe_net']:.2f}"


def test_history_is_filtered_and_two_runs_are_compared(judged: Judged, monkeypatch: pytest.MonkeyPatch) -> None:
    page = drawn("history", judged.folder, judged.home.specs, monkeypatch)
    row = frame(page, "signal", "verdict").row(0, named=True)
    assert (row["signal"], row["author"], row["preset"]) == (SIGNAL, AUTHOR, "STANDARD")
    settings = frame(page, "what", "first", "second")
    assert settings.filter(pl.col("what") == "preset").select("first", "second").row(0) == ("QUICK", "STANDARD")
    verdict = str(suite_history(judged.home)["verdict"][0])
    other = next(colour for colour in ("red", "yellow", "green") if colour != verdict)
    assert other not in page.multiselect(key="by-verdict").options
    page.date_input(key="since").set_value(date.today() + timedelta(days=2))
    assert frame(without_fault(page.run()), "signal", "verdict").height == 0


def test_a_signal_is_run_by_a_click_and_its_state_survives_a_reload(
    judged: Judged, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = judged.copy(tmp_path)
    asked: list[list[str]] = []

    def recorded(folder: Path, title: str, command: list[str]) -> launching.Work:
        asked.append(command)
        work = launching.Work("20990101T000000", title, tuple(command), "2099-01-01T00:00:00+00:00")
        place = launching.works_folder(folder) / work.id
        place.mkdir(parents=True)
        (place / "job.json").write_text(json.dumps({**vars(work)}))
        (place / "log").write_text("suite_panel done\n")
        return work

    monkeypatch.setattr(launching, "start", recorded)
    page = drawn("run", home.settings.home, home.specs, monkeypatch)
    page.selectbox(key="preset").set_value("QUICK")
    page.selectbox(key="snapshot").set_value(judged.snapshot)
    page.button(key="run").click()
    without_fault(page.run())
    assert asked == [["suite", SIGNAL, "--preset", "QUICK", "--snapshot", judged.snapshot]]
    again = drawn("run", home.settings.home, home.specs, monkeypatch)
    assert [each.label for each in again.expander] == ["QUICK suite of rev5: running"]
    assert "suite_panel done" in [each.value for each in again.code]
    (launching.works_folder(home.settings.home) / "20990101T000000" / "ended.json").write_text('{"code": 1}')
    ended = AppTest.from_string("from quant_platform.app.views import run\nrun.show()", default_timeout=60).run()
    assert any("It failed" in each.value for each in ended.error)


def test_an_uploaded_file_is_told_row_by_row_and_registered_only_when_asked(
    judged: Judged, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = judged.copy(tmp_path)
    page = drawn("run", home.settings.home, home.specs, monkeypatch)
    rows = judged.home.lake.read("suite.signals", [SIGNAL]).head(40)
    good = "\n".join(f"{r['security_id']},{r['date_sig']},{r['date_avail']},{r['value']}" for r in rows.to_dicts())
    text = f"security_id,date_sig,date_avail,signal\n{good}\n<b>NOBODY</b>,2018-03-01,2018-03-01,1\n"
    page.file_uploader(key="signal-file").set_value(("mine.csv", text.encode(), "text/csv"))
    without_fault(page.run())
    assert "40 of 41 rows were taken" in said(page)
    assert frame(page, "code", "row")["code"].to_list() == ["signal_security_unknown"]
    assert not (home.settings.home / "signals" / "mine").exists()
    page.text_input[0].set_value("mine")
    register = next(each for each in page.button if each.label == "Register")
    register.click()
    refused = page.run()
    assert any("Nothing was registered" in each.value for each in refused.error)
    assert not (home.settings.home / "signals" / "mine").exists()
    refused.checkbox[0].check()
    next(each for each in refused.button if each.label == "Register").click()
    taken = without_fault(refused.run())
    assert "Registered as mine by unknown" in said(taken).replace("\\", "")
    assert (home.settings.home / "signals" / "mine" / "submission.json").is_file()


def test_the_equity_page_shows_the_report_of_the_week(judged: Judged, monkeypatch: pytest.MonkeyPatch) -> None:
    page = drawn("equity", judged.folder, judged.home.specs, monkeypatch)
    week = str(judged.home.lake.partitions("replay.report")[-1])
    row = judged.home.lake.read("replay.report", [week]).row(0, named=True)
    assert row["headline"] in said(page).replace("\\", "")
    edge = frame(page, "factor", "t_ewc")
    assert sorted(edge["factor"]) == sorted(each["factor"] for each in json.loads(row["json"])["signal_edge"])
    assert {"Setups of the week", "Signal edge", "Calibration", "Threshold sweeps", "Activation thresholds"} <= {
        each.value for each in page.subheader
    }


def test_jobs_say_when_they_run(judged: Judged, monkeypatch: pytest.MonkeyPatch) -> None:
    page = drawn("jobs", judged.folder, judged.home.specs, monkeypatch)
    jobs = {row["job"]: row for row in frame(page, "job", "cron").iter_rows(named=True)}
    schedules = judged.home.schedules
    assert (jobs["daily_pipeline"]["cron"], jobs["daily_pipeline"]["time_zone"]) == (
        schedules.daily_pipeline.cron,
        schedules.timezone,
    )
    assert jobs["suite"]["last_state"] == "success"
    assert jobs["suite"]["last_run_id"] == judged.second.run_id
    assert jobs["suite"]["cron"] is None
    assert jobs["daily_pipeline"]["last_run"] is None, "the home was copied without its history"


@pytest.mark.parametrize(
    ("page", "sentence", "action"),
    [
        ("run", "No signal is registered", "quant signal submit"),
        ("results", "No signal was judged", "press Run"),
        ("history", "No signal was judged", "press Run"),
        ("events", "There is no discovery report yet", "quant import-perps"),
    ],
)
def test_a_page_without_anything_says_what_to_do(
    page: str, sentence: str, action: str, market: Market, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = drawn(page, market.home.settings.home, market.specs, monkeypatch)
    (empty,) = [each.value for each in found.info if sentence in each.value]
    assert action in empty


def test_a_name_that_is_markdown_is_shown_as_it_is() -> None:
    assert plain("*a* <b> :red[x] $y$") == "\\*a\\* \\<b\\> \\:red\\[x\\] \\$y\\$"
