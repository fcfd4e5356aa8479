"""The pages of the event lab."""
