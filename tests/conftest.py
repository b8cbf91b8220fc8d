"""Fixtures for all tests: real servers, started when the first test needs them."""

from pathlib import Path

_SUPPORT = Path(__file__).parent / "support"

# Modules with fixtures; the others there are only imported.
pytest_plugins = [
    f"tests.support.{name}"
    for name in ("pki", "postgres", "seaweedfs", "valkey", "stack", "sharing", "summary")
    if (_SUPPORT / f"{name}.py").exists()
]
