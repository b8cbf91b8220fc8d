"""Goal: whatever a power cut leaves, everything acknowledged is there and equal, everything
else is there whole or not at all, and the next start settles it, also one that is cut itself.

Method: run a workload on a simulated file system. Before every step that changes anything,
produce disks that a cut at this moment may leave, start an element on each, and compare it
with the oracle. `ARTSTORE_CRASH_STATES` says how many states to look at (default 12,000);
a run that looked at fewer fails, and the summary of the run names the number.
"""

import os
import zlib

import pytest
from tests.support.power_cut import Explorer
from tests.support.summary import Tell
from tests.support.workloads import WORKLOADS

STATES = int(os.environ.get("ARTSTORE_CRASH_STATES", "12000"))


pytestmark = pytest.mark.usefixtures("quiet_logs")


class Budget:
    """What a short workload cannot use, those behind it get."""

    def __init__(self) -> None:
        self.spent: dict[str, int] = {}

    def share(self) -> int:
        return -(-(STATES - self.total) // (len(WORKLOADS) - len(self.spent)))

    @property
    def total(self) -> int:
        return sum(self.spent.values())


@pytest.fixture(scope="module")
def budget() -> Budget:
    return Budget()


@pytest.mark.parametrize("name", WORKLOADS)
def test_no_promise_is_broken(name: str, budget: Budget) -> None:
    explorer = Explorer(seed=zlib.crc32(name.encode()), states_max=budget.share())
    explorer.run(WORKLOADS[name])
    budget.spent[name] = explorer.states
    assert explorer.states > 100


def test_so_many_states_were_looked_at(budget: Budget, tell: Tell) -> None:
    if len(budget.spent) < len(WORKLOADS):
        pytest.skip("only some of the workloads ran")
    tell(f"{budget.total} states after power cuts, no promise broken")
    assert budget.total >= STATES
