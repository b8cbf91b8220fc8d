"""Decisions of the admin module. No HTTP in here, and no SQL."""
