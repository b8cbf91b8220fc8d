"""Memory of every process during a large upload, with many idle connections and with slow ones.

    python -m benchmarks.ingest_memory [--gib 5] [--idle 1000] [--slow 200] [--folder DIR]

Starts an ArtStore of its own in `--folder`, which needs room for the upload once. Prints by how
many MiB of its own each process grew at most. No process may grow by more than 64.
"""

import argparse
import asyncio
import contextlib
import resource
import ssl
from collections.abc import Awaitable, Callable
from pathlib import Path

import httpx2
from tests.support.memory import (
    MIB,
    Door,
    send_slowly,
    stay_idle,
    upload,
    upload_in_parts,
    watching,
)

from artstore.core.tls import server_name
from benchmarks._stack import RunningStack, running_stack

TARGET_MIB = 64
IDLE_S = 5.0
TRICKLE = (16 << 10, 60, 0.5)
BURSTS = (256 << 10, 10, 0.5)
"""Bytes of a piece, how many of them come, and every how many seconds. Bursts are no slow senders
any more: they show what a busy connection costs."""
WARM_BYTES = 100 * MIB

Work = Callable[[Door], Awaitable[None]]


def doors(stack: RunningStack) -> dict[str, Door]:
    token = stack.token()
    modules = stack.tls(with_certificate=True)
    people = stack.tls(with_certificate=False)
    return {
        "ingester": Door(stack.port("ingester-1"), modules, server_name("ingester"), token),
        "edge": Door(stack.port("edge"), people, "127.0.0.1", token),
    }


def removing(stack: RunningStack, door: Door, address: str) -> None:
    """What was uploaded needs its room again."""
    context = ssl.create_default_context(cafile=stack.edge_certificate.ca)
    headers = {"Authorization": f"Bearer {door.token}"}
    with httpx2.Client(base_url=stack.edge_url, verify=context, headers=headers) as client:
        client.delete(address, timeout=120).raise_for_status()


def cases(stack: RunningStack, size: int, idle: int, slow: int) -> dict[str, Work]:
    async def whole(door: Door) -> None:
        removing(stack, door, await upload(door, size))

    async def in_parts(door: Door) -> None:
        removing(stack, door, await upload_in_parts(door, size))

    return {
        f"{size / (1 << 30):g} GiB": whole,
        f"{size / (1 << 30):g} GiB by tus": in_parts,
        f"{idle} idle": lambda door: stay_idle(door, idle, IDLE_S),
        f"{slow} slow": lambda door: send_slowly(door, slow, *TRICKLE),
        f"{slow} in bursts": lambda door: send_slowly(door, slow, *BURSTS),
    }


async def warm(stack: RunningStack, door: Door) -> None:
    """What is loaded and kept at the first use is there before anything is measured."""
    for send in (upload, upload_in_parts):
        removing(stack, door, await send(door, WARM_BYTES))
    await send_slowly(door, 4, 16 << 10, 10, 0.1)
    await stay_idle(door, 4, 0.1)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--gib", type=float, default=5)
    parser.add_argument("--idle", type=int, default=1000)
    parser.add_argument("--slow", type=int, default=200)
    parser.add_argument("--folder", type=Path, help="on the disk to use")
    wanted = parser.parse_args()
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    size = int(wanted.gib * (1 << 30))
    with contextlib.suppress(KeyboardInterrupt), running_stack(wanted.folder) as stack:
        grown: dict[str, dict[str, float]] = {}
        for way, door in doors(stack).items():
            asyncio.run(warm(stack, door))
            for case, work in cases(stack, size, wanted.idle, wanted.slow).items():
                with watching(stack.pids()) as watch:
                    asyncio.run(work(door))  # type: ignore[arg-type]
                grown[f"{case}, {way}"] = watch.growth_mib
                print(f"{case}, {way}: {watch.growth_mib}", flush=True)
        print(f"\n{table(grown)}")
        print(f"\ntarget: {TARGET_MIB}, for all but the bursts")


def table(grown: dict[str, dict[str, float]]) -> str:
    names = list(next(iter(grown.values())))
    lines = [f"| MiB | {' | '.join(names)} |", "|---" * (len(names) + 1) + "|"]
    lines += [
        f"| {case} | {' | '.join(str(each[name]) for name in names)} |"
        for case, each in grown.items()
    ]
    return "\n".join(lines)


if __name__ == "__main__":
    main()
