"""The pages of the equity signal lab."""
