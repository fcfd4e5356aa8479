"""The research suite: from a signal file to a verdict, as pure computation.

1. `contract.validate` splits a submitted signal into good rows and rejects; `sessions.align_dates` says when each row
   can be acted on.
2. `panel` holds the dense arrays of a snapshot; `audit` looks for look-ahead in the signal.
3. `backtest.run_backtest` and `run_variants` turn a signal into books, costs, ICs and fractiles.
4. `suite.run_suite` puts a preset beside the baselines, and `verdict.judge` gives the colour with its reasons.
"""
