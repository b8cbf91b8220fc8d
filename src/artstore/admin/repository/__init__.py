"""Queries. They decide nothing, and they never commit: the caller's session does."""
