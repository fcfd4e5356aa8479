"""The event lab's detectors: context, features, states, onsets and the registry of what was found.

Everything is declared in ``specs`` (``events/*.yaml``, ``features/market_5m.yaml``, ``states.yaml``, ``families.yaml``,
``context.yaml``); this room computes it. Values at a bar are functions of what was known at its close.
"""
