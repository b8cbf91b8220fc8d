"""Fixtures for all tests: real servers, started when the first test needs them."""

import signal
from pathlib import Path

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    # Started in the background by a shell: what tests start must be interruptible all the same.
    signal.signal(signal.SIGINT, signal.default_int_handler)

_SUPPORT = Path(__file__).parent / "support"

# Modules with fixtures; the others there are only imported.
pytest_plugins = [
    f"tests.support.{name}"
    for name in (
        "clamd",
        "pki",
        "openbao",
        "postgres",
        "seaweedfs",
        "valkey",
        "stack",
        "monitoring",
        "sharing",
        "summary",
    )
    if (_SUPPORT / f"{name}.py").exists()
]
