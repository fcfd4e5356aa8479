"""One schema class per table: documentation, type and validator at once."""
