"""The event lab: what happens on five-minute bars, and what follows it."""
