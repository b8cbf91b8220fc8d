"""Lines for the end of a run: how much a search looked at. See `tests/crash/storage/conftest`."""

import pytest

SUMMARY = pytest.StashKey[list[str]]()


def tell(config: pytest.Config, line: str) -> None:
    config.stash.setdefault(SUMMARY, []).append(line)
