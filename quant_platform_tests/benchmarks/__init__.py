"""Timings of the kernels and the lake, ours beside a peer's in the same run: ``make bench``."""
