"""The storage engine: files, their records and the log, on one local volume.

Synchronous; knows nothing of HTTP or event loops. Invariants and formats: `../DESIGN.md`.
"""
