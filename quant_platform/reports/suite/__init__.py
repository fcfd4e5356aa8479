"""The tear sheet of a suite, drawn from its tables."""
