"""Levels and setups, their probabilities, momentum ranks, the qualification gate and the live scan."""
