"""Feature tables: named expressions over the bars of one instrument."""
