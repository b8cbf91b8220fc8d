"""Goal: no process holds what passes through it, nor pays much for those who only wait.

Method: what would cost far more than the bounds if it were held, through the edge and straight to
the ingester. `python -m benchmarks.ingest_memory` does it with 5 GiB, 1000 and 200 connections.
"""

import asyncio
import ssl
from collections.abc import Awaitable, Callable

import pytest
from tests.support.memory import (
    MIB,
    Door,
    send_slowly,
    stay_idle,
    upload,
    upload_in_parts,
    watching,
)
from tests.support.stack import RunningStack

from artstore.client import ArtStore
from artstore.core.tls import client_context, server_name

pytestmark = pytest.mark.stack

LARGE_BYTES = 200 * MIB
LARGE_GROWTH_BYTES_MAX = 64 * MIB
IDLE = 200
SLOW = 50
PIECE_BYTES, PIECES, EVERY_S = 32 << 10, 80, 0.1
CROWD_GROWTH_BYTES_MAX = 32 * MIB


@pytest.fixture(scope="module")
def edge(stack: RunningStack, store: ArtStore) -> Door:
    people = ssl.create_default_context(cafile=stack.ca_file)
    return Door(stack.layout.ports.edge, people, "127.0.0.1", store.token())


@pytest.fixture(scope="module")
def ingester(stack: RunningStack, store: ArtStore) -> Door:
    port = stack.process("ingester-1").port
    assert port is not None
    modules = client_context(stack.layout.certificates.files("edge-1"))
    return Door(port, modules, server_name("ingester"), store.token())


def growth_bytes(stack: RunningStack, work: Callable[[], Awaitable[object]]) -> dict[str, int]:
    """Of each process that grew by a MiB or more."""

    async def run() -> None:
        await work()

    pids = {process.name: process.pid for process in stack.processes() if process.pid}
    with watching(pids) as watch:
        asyncio.run(run())
    return {name: growth for name, growth in watch.growth_bytes.items() if growth >= MIB}


async def send_a_little(door: Door) -> None:
    """What is loaded and kept at the first use is there before anything is measured."""
    await upload(door, 2 * MIB)
    await upload_in_parts(door, 2 * MIB)
    await send_slowly(door, 2, 128 << 10, 2, 0)


def test_large_uploads_leave_no_trace(stack: RunningStack, edge: Door, ingester: Door) -> None:
    async def both() -> None:
        await upload(edge, LARGE_BYTES)
        await upload_in_parts(ingester, LARGE_BYTES)

    asyncio.run(send_a_little(edge))
    assert max(growth_bytes(stack, both).values(), default=0) < LARGE_GROWTH_BYTES_MAX


def test_idle_connections_cost_little(stack: RunningStack, edge: Door, ingester: Door) -> None:
    async def both() -> None:
        await asyncio.gather(*(stay_idle(door, IDLE, 1.0) for door in (edge, ingester)))

    assert max(growth_bytes(stack, both).values(), default=0) < CROWD_GROWTH_BYTES_MAX


def test_slow_uploads_are_not_gathered(stack: RunningStack, ingester: Door) -> None:
    asyncio.run(send_a_little(ingester))

    growth = growth_bytes(stack, lambda: send_slowly(ingester, SLOW, PIECE_BYTES, PIECES, EVERY_S))

    assert max(growth.values(), default=0) < CROWD_GROWTH_BYTES_MAX
    assert SLOW * PIECE_BYTES * PIECES > 1.5 * CROWD_GROWTH_BYTES_MAX
