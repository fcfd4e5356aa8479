"""Floor one: the table schemas, the identifiers and the error classes that every other room speaks."""
