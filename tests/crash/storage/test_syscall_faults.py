"""Goal: whatever call fails in a real element, nothing acknowledged is lost; a failing disk
makes it read-only, a full one refuses until there is room, and neither leaves anything behind.

Method: a running element under full load; `strace` makes calls of it fail. Then kill -9, a
start, and everything is asked for. `ARTSTORE_CRASH_ALL=1` runs the whole table.
(No call reserves room beforehand, so `fallocate` has no case; a short write is one that took
nothing, since `strace` cannot let a call do a part of its work.)
"""

import asyncio
import os
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import NamedTuple

import aiohttp
import orjson
import psutil
import pytest
from tests.support.live_load import Ledger, LiveLoad, audit
from tests.support.processes import eventually
from tests.support.storage_process import StorageProcess, session, storage_process
from tests.support.syscall_faults import Tracer, failing, needs_strace

SETTINGS = {"LOG_LEVEL": "error", "SEGMENT_BYTES": 8 << 20, "CHECKPOINT_INTERVAL_S": 0.25}
RENAME, LINK, UNLINK = "rename,renameat2", "link,linkat", "unlink,unlinkat"


class Case(NamedTuple):
    """`harm`: what becomes of the element: it goes `read-only`, is `full` for as long as the
    fault lasts, is `hit` (some requests fail, later ones do not), notices `nothing`, or
    `depends` on who made the call, and on whether the log's spare is there to give up."""

    calls: str
    fault: str
    harm: str
    in_helper: bool = False

    def __str__(self) -> str:
        where = "helper " if self.in_helper else ""
        return f"{where}{self.calls.partition(',')[0]} {self.fault}"


QUICK = [
    Case("fdatasync", "error=EIO:when=2", "read-only"),
    Case("syncfs", "error=EIO:when=1", "read-only"),
    Case("pwrite64", "error=ENOSPC:when=2+", "full"),
    Case("pwrite64", "retval=0:when=2", "nothing"),
    Case("openat", "error=EIO:when=2", "nothing", in_helper=True),
]
REST = [
    Case("fdatasync", "error=EIO:when=1", "read-only"),
    Case("fdatasync", "error=EIO:when=9", "read-only"),
    Case("fdatasync", "error=ENOSPC:when=2", "read-only"),
    Case("fdatasync", "error=EDQUOT:when=2", "read-only"),
    Case("fdatasync", "error=EINTR:when=2", "nothing"),
    Case("fsync", "error=EIO:when=1", "read-only"),
    Case("fsync", "error=EINTR:when=1", "nothing"),
    Case("syncfs", "error=ENOSPC:when=1", "hit"),
    Case("pwrite64", "error=EIO:when=1", "read-only"),
    Case("pwrite64", "error=EIO:when=7", "read-only"),
    Case("pwrite64", "error=EROFS:when=2", "read-only"),
    Case("pwrite64", "error=EDQUOT:when=1+", "full"),
    Case("pwrite64", "error=ENOSPC:when=5", "hit"),
    Case("pwrite64", "error=EINTR:when=2", "nothing"),
    Case("pwrite64", "retval=0:when=1", "nothing"),
    Case(RENAME, "error=EIO:when=1", "read-only"),
    Case(RENAME, "error=EIO:when=3", "read-only"),
    Case(RENAME, "error=ENOSPC:when=1", "depends"),
    Case(LINK, "error=EIO:when=1", "read-only"),
    Case(LINK, "error=EIO:when=4", "read-only"),
    Case(LINK, "error=ENOSPC:when=1", "depends"),
    Case(UNLINK, "error=EIO:when=1", "read-only"),
    Case("openat", "error=EMFILE:when=2", "depends"),
    Case("openat", "error=ENOSPC:when=1", "depends"),
    Case("openat", "error=EINTR:when=2", "nothing"),
    Case("openat", "error=ENOSPC:when=3", "nothing", in_helper=True),
    Case("openat", "error=EMFILE:when=1+", "nothing", in_helper=True),
    Case("pwrite64", "error=EIO:when=2", "nothing", in_helper=True),
    Case("pwrite64", "error=ENOSPC:when=1+", "nothing", in_helper=True),
    Case("pwrite64", "retval=0:when=3", "nothing", in_helper=True),
    Case("pwrite64", "signal=KILL:when=3", "nothing", in_helper=True),
    Case("close", "error=EIO:when=2", "nothing", in_helper=True),
]
CASES = QUICK + (REST if os.environ.get("ARTSTORE_CRASH_ALL") else [])

pytestmark = needs_strace()


@pytest.mark.parametrize("case", CASES, ids=str)
async def test_a_failing_call(tmp_path: Path, case: Case) -> None:
    root = tmp_path / "element"
    ledger = Ledger()
    with storage_process(root, **SETTINGS) as element:
        async with loaded(element, ledger) as (http, load):
            pid = helper_of(element) if case.in_helper else element.pid
            with failing(pid, case.calls, case.fault, tmp_path) as tracer:
                await eventually(lambda: tracer.has_injected)
                await look(http, element, load, tracer, case)
            element.kill()
    with storage_process(root, **SETTINGS) as element:
        async with session() as http:
            assert await audit(http, element, ledger) == []
            assert await is_writable(http, element)
        # What the running element itself is just making there goes by itself.
        await eventually(lambda: leftovers(root) == [])


async def look(
    http: aiohttp.ClientSession,
    element: StorageProcess,
    load: LiveLoad,
    tracer: Tracer,
    case: Case,
) -> None:
    match case.harm:
        case "read-only":
            while await is_writable(http, element):
                await asyncio.sleep(0.01)
            # First come the answers that were on their way already.
            await eventually(lambda: load.refusals[503] > 20)
            acknowledged = load.acknowledged
            await eventually(lambda: load.refusals[503] > 80)
            assert load.acknowledged == acknowledged
        case "full":
            await eventually(lambda: load.refusals[507] > 10)
            tracer.stop()
            await goes_on(load)
        case "hit":
            await goes_on(load)
        case "nothing":
            await goes_on(load)
            assert not load.refusals
        case "depends":
            return
    if case.harm != "read-only":
        assert await is_writable(http, element)


async def goes_on(load: LiveLoad) -> None:
    acknowledged = load.acknowledged
    await eventually(lambda: load.acknowledged > acknowledged + 50)


@asynccontextmanager
async def loaded(
    element: StorageProcess, ledger: Ledger
) -> AsyncIterator[tuple[aiohttp.ClientSession, LiveLoad]]:
    async with session() as http:
        load = LiveLoad(http, element, ledger, random.randrange(1 << 30))
        tasks = load.start()
        await eventually(lambda: load.acknowledged > 20)
        yield http, load
        await asyncio.gather(*tasks)


async def is_writable(http: aiohttp.ClientSession, element: StorageProcess) -> bool:
    async with http.get(element.url("/info")) as answer:
        assert answer.status == 200
        writable: bool = orjson.loads(await answer.read())["writable"]
        return writable


def helper_of(element: StorageProcess) -> int:
    (helper,) = psutil.Process(element.pid).children()
    pid: int = helper.pid
    return pid


def leftovers(root: Path) -> list[str]:
    return [path.name for path in (root / "tmp").iterdir() if path.name != "spare"]
