"""From what a vendor delivered to what may be computed on: calendars, adjustment, cleaning, masks, as-of joins."""
