"""Strategies of the event lab on the engine: from a blueprint to its trades, and whether to believe them.

======================  ================================================================================================
module                  what it has
======================  ================================================================================================
`strategies`            which blueprints, and which refused cells beside them, are run
`market`                the perpetuals as the engine's bars, with costs and funding
`decisions`             the events of a strategy as orders
`runs`                  a run and its tables: trades, fills, profit by day
`walk_forward`          anchored and rolling folds, trades out of sample kept
`robustness`            bootstrap, perturbations that are run again, states
`attribution`           by symbol, side, event, hour, cost part
`acceptance`            bounds on spread, depth, impact and participation
`promotions`            which are promoted, with every reason
`allocation`            capital, and the composite through the risk layers
`drift`                 whether the features have moved since training
`study`                 all of it for one cutoff
======================  ================================================================================================
"""
