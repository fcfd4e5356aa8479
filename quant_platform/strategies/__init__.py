"""Decision makers that any lab may use: signals and ranks written in the expression language, and how to trade them.

They stand outside the engine: what they make is a frozen table of decisions, of which the engine knows no origin.
"""
