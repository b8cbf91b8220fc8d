"""Goal: an element's memory does not grow with its files, and listings and scrubs begin at once.

Method: the benchmark's own steps with a fiftieth of its files; figures of time are for it.
"""

from pathlib import Path

from benchmarks.million_files import fill, look
from tests.support.module_process import free_port

FILES = 20_000
GROWTH_MAX_MIB = 50
"""What a million files may cost: a page of a listing and the names that the scrub holds at a
time, whatever the number of files."""


def test_many_files_take_no_memory(tmp_path: Path) -> None:
    empty = look(tmp_path / "empty", free_port())
    fill(tmp_path / "full", FILES, hours=2)
    full = look(tmp_path / "full", free_port())
    # Both take uploads while they are looked at.
    assert full.files > FILES
    assert full.started_rss_mib - empty.started_rss_mib < 5
    assert full.rss_mib - empty.rss_mib < GROWTH_MAX_MIB
