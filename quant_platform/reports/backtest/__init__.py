"""The page of one backtest."""
