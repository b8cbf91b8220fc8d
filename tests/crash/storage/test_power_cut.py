"""Goal: whatever a power cut leaves, everything acknowledged is there and equal, everything
else is there whole or not at all, and the next start settles it, also one that is cut itself.

Method: run a workload on a simulated file system. Before every step that changes anything,
produce disks that a cut at this moment may leave, start an element on each, and compare it
with the oracle. `ARTSTORE_CRASH_STATES` says how many states to look at (default 12,000).
"""

import os
import zlib

import pytest
from tests.support.power_cut import Explorer
from tests.support.workloads import WORKLOADS

STATES = int(os.environ.get("ARTSTORE_CRASH_STATES", "12000"))


pytestmark = pytest.mark.usefixtures("quiet_logs")


@pytest.mark.parametrize("name", WORKLOADS)
def test_no_promise_is_broken(name: str) -> None:
    explorer = Explorer(seed=zlib.crc32(name.encode()), states_max=STATES // len(WORKLOADS))
    explorer.run(WORKLOADS[name])
    assert explorer.states > 100
