"""How a run is shared out among worker processes (`make test` starts one for each core).

A file is never split, so fixtures and budgets of a module work as they do in one process. Some
files belong together. Files come in the order of their names, which puts the long ones first.
"""

import pytest
from xdist.remote import Producer
from xdist.scheduler import LoadScopeScheduling

TOGETHER = {
    # Its last file counts what the others tried.
    "tests/security/tamper/": "tamper",
    # One whole system is enough.
    "tests/e2e/": "stack",
    "tests/integration/client/test_client_stack.py": "stack",
}


class BySharedNeed(LoadScopeScheduling):
    def _split_scope(self, nodeid: str) -> str:
        path = nodeid.partition("::")[0]
        return next((name for start, name in TOGETHER.items() if path.startswith(start)), path)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> LoadScopeScheduling:
    # Else the files with the most tests come first, and those take the least time.
    config.option.loadscopereorder = False
    return BySharedNeed(config, log)
