"""Replaces credentials while everything runs: `artstore rotate`."""
