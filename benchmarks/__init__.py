"""Measurements. One file per question; what they printed, where and when is in RESULTS.md."""
