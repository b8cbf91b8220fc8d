"""Signed notes: keys, checkpoints, cosignatures, and whom to believe. Pure computation."""
