"""Figures of operations."""
