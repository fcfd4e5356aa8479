"""Figures and one-file pages that open offline: nothing is fetched, nothing is computed that a table does not hold.

`charts` makes figures and the page around them, `equity` and `events` have the pages of a lab each, `documentation`
what is generated into ``docs``. This module imports none of them: drawing imports Altair, which a process that draws
nothing should not wait for.
"""
