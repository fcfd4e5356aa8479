"""From event rows to strategy blueprints: what follows an event, whether it is real, whether it pays.

1. ``panel``: prices of all symbols on one grid of five-minute bars, whole UTC days.
2. ``labels``: what a trade entered after any bar would have earned, for every bar, so that placebo shifts are look-ups.
3. ``candidates``: effect, error and p of every event x symbol x horizon x template x state, on the training window.
4. ``hypotheses``: shrinkage, false discovery control over all events, gates.
5. ``bridge``: survivors on data after the embargo.
6. ``blueprints``: what is left, as a document that says what to do and why.

``trials`` keeps the ledger of every cell ever evaluated. Nothing here detects events: rows of ``events.events`` are the
only events there are.
"""
