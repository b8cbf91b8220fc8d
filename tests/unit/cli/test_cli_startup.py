import subprocess
import sys

import pytest


@pytest.mark.parametrize("library", ["aiohttp", "httpx2", "pydantic", "rich", "asyncio", "ssl"])
def test_help_waits_for_no_library_it_does_not_need(library: str) -> None:
    program = f"import sys, artstore.cli.main; sys.exit({library!r} in sys.modules)"

    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
