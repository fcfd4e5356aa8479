"""The weekly replay of setups, and what its outcomes say: hit rates, calibration, sweeps, report."""
