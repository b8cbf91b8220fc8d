"""Reads everything an element keeps and compares it with what was written.

`walk` finds the files, `inspection` and `log_check` judge them, for the scrub and for
`artstore verify` alike. `scrub` does it all the time, slowly, and keeps account.
"""
