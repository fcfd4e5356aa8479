"""Proof that the engine trades as others do: the same decisions through Backtrader, VectorBT and Zipline-reloaded.

1. A case makes bars, and from them **decisions**, once and outside any framework: an immutable table with a hash
   (:mod:`.decisions`, :mod:`.cases`).
2. Every adapter takes the same call, ``run_with_signals`` (:mod:`.adapters`). Ours calls the engine. Each foreign one
   writes the table to a folder and starts a script of ``peers/`` with the interpreter of an environment of its own
   (:mod:`.environments`), so that nothing foreign is ever imported here.
3. Trades are matched by asset, time of entry and side, and compared in every figure; equity is compared bar by bar
   (:mod:`.comparison`).
4. Where a framework cannot do what the engine does, a **mark** says so with its reason; a mark that no longer holds is
   a failure (:mod:`.marks`).
"""
