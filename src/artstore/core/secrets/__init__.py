"""Where secrets come from, what makes one unfit, and how a process begins with them.

In order: files, then OpenBao (or Vault), then, in development only, the environment.
"""
