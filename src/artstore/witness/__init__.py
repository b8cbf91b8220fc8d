"""A witness: cosigns the checkpoints of transparency logs and refuses a history that shrank or
forked (c2sp.org/tlog-witness).

It runs on a machine of somebody who does not run the log, so it stands alone: its own key,
storage and settings, no database, no certificates of an installation, no module of ArtStore.
"""
