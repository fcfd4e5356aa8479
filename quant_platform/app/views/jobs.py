"""Jobs: when each runs by itself, when it last ran, when it will, and a button that runs it now."""

from __future__ import annotations

import streamlit as st

from quant_platform.app import launching, parts


def show() -> None:
    """Draw the page."""
    # Dagster takes seconds to load: the other pages do without it.
    from quant_platform.defs.runs import instance_of
    from quant_platform.defs.timetable import timetable

    home = parts.opened("Jobs")
    with parts.said_to_people():
        with instance_of(home) as instance:
            found = timetable(home, instance)
        st.caption(
            "A job with a cron runs by itself while `quant up` serves this home and its schedule is on; the others "
            "follow one of those, or run when somebody asks. Times of day are in the time zone beside them."
        )
        parts.table(found.drop("needs_signal"), key="jobs", height=620)
        st.subheader("Run one now")
        job = st.selectbox("Job", found["job"].to_list(), key="job")
        said = found.row(found["job"].to_list().index(job), named=True)
        st.caption(parts.plain(said["description"]))
        if said["needs_signal"]:
            st.caption("It runs over signals that were registered and judged: start it under Run.")
        elif st.button("Run now", key="trigger"):
            work = launching.start(home.settings.home, f"job {job}", ["run", job])
            st.success(f"Started at {work.started_at}; its log is under Run.")
