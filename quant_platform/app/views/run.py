"""Run: a file or a registered signal, checked at once; one button to the verdict; what runs and what it says."""

from __future__ import annotations

import tempfile
from pathlib import Path

import streamlit as st

from quant_platform.app import launching, parts
from quant_platform.labs.suite.contract import Validated
from quant_platform.lake import snapshots
from quant_platform.pipeline import submissions
from quant_platform.pipeline.home import Home
from quant_platform.pipeline.suite import DEFAULT_PRESET
from quant_platform.pipeline.suite_snapshots import snapshots_folder

NEWEST = "the newest, or a new one where the data have changed"
_ENDED = {"done": "success", "failed": "error", "cancelled": "warning", "died": "error"}


def show() -> None:
    """Draw the page."""
    home = parts.opened("Run a signal")
    file, known = st.tabs(["Upload a file", "Registered signals"])
    with file:
        _upload(home)
    with known:
        _registered(home)
    st.subheader("Runs")
    _runs()


def _upload(home: Home) -> None:
    given = st.file_uploader(
        "CSV, Parquet or Arrow with the columns security_id, date_sig, date_avail, signal", key="signal-file"
    )
    if given is None:
        st.caption("It is checked at once; nothing is stored before you register it.")
        return
    with parts.said_to_people(), tempfile.TemporaryDirectory(prefix="quant-upload-") as folder:
        # The name is somebody else's: only its ending says anything here.
        path = Path(folder) / f"signal{Path(given.name).suffix[:10]}"
        path.write_bytes(given.getbuffer())
        found = submissions.validate_file(home, path)
        _say(found)
        with st.form("register", border=True):
            name = st.text_input("Name", value=found.name or "", placeholder="my_signal")
            author = st.text_input("Author", placeholder="who stands behind it")
            region = st.text_input("Region", value=found.region or "", placeholder="US")
            leave_out = st.checkbox("Register the good rows although others are refused", disabled=found.clean)
            asked = st.form_submit_button("Register", type="primary")
        if asked and not found.clean and not leave_out:
            st.error("Nothing was registered: correct the file, or tick the box above.")
        elif asked:
            made = submissions.submit(
                home, path, found, name=name or None, author=author or submissions.NOBODY, region=region or None
            )
            st.success(parts.plain(f"Registered as {made.name} by {made.author}; run it under Registered signals."))


def _say(found: Validated) -> None:
    good = found.good
    said = f"{good.height:,} of {found.rows:,} rows were taken: {good['security_id'].n_unique():,} securities"
    (st.success if found.clean else st.warning)(said)
    if found.summary.height:
        st.caption("What was found, code by code")
        parts.table(found.summary, key="summary")
    if found.rejects.height:
        st.caption("Rows that are left out")
        parts.table(found.rejects, key="rejects", height=260)


def _registered(home: Home) -> None:
    known = submissions.submissions(home)
    if not known:
        parts.nothing("No signal is registered.", "Upload a file here, or use `quant signal submit FILE --name NAME`.")
        return
    names = [said.name for said in known]
    chosen = st.selectbox("Signal", names, key="signal")
    said = known[names.index(chosen)]
    st.caption(
        parts.plain(
            f"{said.rows:,} rows of {said.securities} securities, {said.first_date} to {said.last_date}; "
            f"registered by {said.author} at {said.submitted_at}"
        )
    )
    left, right = st.columns(2)
    presets = [path.stem.upper() for path in sorted((home.specs / "suite" / "presets").glob("*.yaml"))]
    preset = left.selectbox("Preset", presets, index=presets.index(DEFAULT_PRESET), key="preset")
    held = [found.snapshot_id for found in snapshots.list_snapshots(snapshots_folder(home))]
    snapshot = right.selectbox("Snapshot", [NEWEST, *reversed(held)], key="snapshot")
    if st.button("Run", type="primary", key="run"):
        command = ["suite", chosen, "--preset", preset]
        command += [] if snapshot == NEWEST else ["--snapshot", snapshot]
        launching.start(home.settings.home, f"{preset} suite of {chosen}", command)
        st.rerun()


@st.fragment(run_every=3.0)
def _runs() -> None:
    home = Home.from_environment().settings.home
    found = launching.works(home, limit=8)
    if not found:
        parts.nothing("Nothing was started from here.", "Choose a signal above and press Run.")
        return
    for place, work in enumerate(found):
        state = launching.state_of(home, work)
        with st.expander(f"{work.title}: {state}", expanded=place == 0):
            st.caption(f"quant {' '.join(work.command)}, started {work.started_at}")
            if state == "running" and st.button("Cancel", key=f"cancel-{work.id}"):
                with parts.said_to_people():
                    launching.cancel(home, work)
            elif state != "running":
                getattr(st, _ENDED[state])(_words(state))
            st.code(launching.log_tail(home, work) or "it has said nothing yet", language=None)


def _words(state: str) -> str:
    return {
        "done": "Done: see Results.",
        "failed": "It failed; the last lines below say why. What was made before is whole.",
        "cancelled": "Cancelled; what it had written is whole, and the same run goes on from there.",
        "died": "Its process is gone without a word, as after a restart of the machine. Run it again: what was made is "
        "kept.",
    }[state]
