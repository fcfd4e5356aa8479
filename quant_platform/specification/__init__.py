"""Typed models of ``specs/**/*.yaml``, loading with line-numbered errors, and the hashes that tie results to specs."""
