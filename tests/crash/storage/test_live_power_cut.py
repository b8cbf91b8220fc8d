"""Goal: a power cut of a real file system under a real element loses nothing acknowledged.

Method: uploads of all sizes, batches, changes and deletions at once on a loop-mounted ext4 or
XFS; the power of that file system is cut at some moment; after a check of the file system the
element starts again, and everything that was ever acknowledged is asked for.
`ARTSTORE_POWER_CUTS` says how many cuts each file system gets (default 5; with
`make test-crash CUTS=300` so many).
An element that does not flush its log must be caught by the same search.
"""

import asyncio
import os
import random
from pathlib import Path

import pytest
from tests.support.cut_volume import CutVolume, cut_volume, needs_cuts
from tests.support.live_load import Ledger, LiveLoad, audit
from tests.support.storage_process import session, storage_process
from tests.support.summary import Tell

CUTS = int(os.environ.get("ARTSTORE_POWER_CUTS", "5"))
CUTS_PER_VOLUME = 10
"""Then a new one: the audit asks for everything since the volume was made."""

LOAD_MAX_S = 0.7
SETTINGS = {
    "LOG_LEVEL": "warning",
    "RESERVED_BYTES": 64 << 20,
    "SEGMENT_BYTES": 8 << 20,
}
# Kept out of `strace`'s way otherwise: only the calls that are injected stop the element.
NO_FLUSH = ["strace", "-f", "--seccomp-bpf", "-qqq", "-o", "/dev/null",
            "-e", "trace=fdatasync", "-e", "inject=fdatasync:retval=0"]  # fmt: skip

pytestmark = needs_cuts()


async def load_until_cut(volume: CutVolume, ledger: Ledger, seed: int, **process: object) -> None:
    """Starts an element, audits it, loads it, and cuts the power."""
    chance = random.Random(seed)
    log = volume.path.parent / "element.log"
    with storage_process(volume.path / "element", log=log, **SETTINGS, **process) as element:
        async with session() as http:
            assert await audit(http, element, ledger) == []
            load = LiveLoad(http, element, ledger, seed)
            tasks = load.start()
            while load.acknowledged < 20:
                await asyncio.sleep(0.005)
            await asyncio.sleep(chance.uniform(0, LOAD_MAX_S))
            volume.cut()
            # Sometimes it lives long enough to notice.
            await asyncio.sleep(chance.choice([0, 0, 0.05]))
            element.kill()
            await asyncio.gather(*tasks)

    volume.restore()


async def broken_promises(volume: CutVolume, ledger: Ledger) -> list[str]:
    log = volume.path.parent / "element.log"
    with storage_process(volume.path / "element", log=log, **SETTINGS) as element:
        async with session() as http:
            async with http.get(f"http://127.0.0.1:{element.port}/health/ready") as answer:
                assert answer.status == 200
            return await audit(http, element, ledger)


@pytest.mark.parametrize("kind", ["ext4", "xfs"])
async def test_nothing_acknowledged_is_lost(tmp_path: Path, kind: str, tell: Tell) -> None:
    cuts = promises = 0
    while cuts < CUTS:
        folder = tmp_path / str(cuts)
        folder.mkdir()
        with cut_volume(kind, folder) as volume:
            ledger = Ledger()
            for _ in range(min(CUTS_PER_VOLUME, CUTS - cuts)):
                cuts += 1
                await load_until_cut(volume, ledger, seed=cuts)
            assert await broken_promises(volume, ledger) == []
            promises += len(ledger.promised)
    assert cuts == CUTS
    assert promises > 20 * cuts
    tell(f"{kind}: {cuts} power cuts, {promises} files acknowledged, none lost")


async def test_an_element_that_does_not_flush_is_caught(tmp_path: Path) -> None:
    with cut_volume("xfs", tmp_path) as volume:
        ledger = Ledger()
        assert await broken_promises(volume, ledger) == []  # makes the element
        await load_until_cut(volume, ledger, seed=1, tracer=NO_FLUSH, CHECKPOINT_INTERVAL_S=3600)
        try:
            assert await broken_promises(volume, ledger) != []
        except AssertionError as refusal:
            # Or the log's own head is lost: then the element says so and does not start.
            assert "does not start" in str(refusal)  # noqa: PT017
