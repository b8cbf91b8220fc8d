"""Measures uploads with the SDK, and leaves nothing behind."""

import asyncio
import os
import time
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, field
from math import ceil
from typing import Any, Final

from artstore.cli.output import error_text, print_fields, print_json, say, size_text
from artstore.client.async_store import AsyncArtStore
from artstore.core.errors import (
    ArtStoreError,
    InvalidCredentials,
    InvalidToken,
    NotPermitted,
    UnknownFile,
)

CATALOGUE_WAIT_S: Final = 60.0
"""A file can be deleted once the catalogue knows it: usually within a second."""

UNIQUE_BYTES: Final = 16


@dataclass(frozen=True, slots=True)
class Load:
    files: int
    size_bytes: int
    jobs: int
    collection: str


@dataclass
class Measured:
    latencies_s: list[float] = field(default_factory=list)
    seconds: float = 0.0
    file_ids: list[str] = field(default_factory=list)
    failures: list[ArtStoreError] = field(default_factory=list)
    deleted: int = 0


def bench(load: Load, *, as_json: bool) -> bool:
    """Whether all files were stored and deleted."""
    measured = Measured()
    try:
        asyncio.run(_bench(load, measured))
    finally:
        if left := len(measured.file_ids) - measured.deleted:
            say(f"{left} files could not be deleted: artstore ls --collection {load.collection}")
    told = summary(load, measured)
    if as_json:
        print_json(told)
    else:
        print_fields(told)
    if measured.failures:
        say(f"{len(measured.failures)} failed; the first: {error_text(measured.failures[0])}")
    return not measured.failures and measured.deleted == len(measured.file_ids)


def summary(load: Load, measured: Measured) -> dict[str, Any]:
    stored = len(measured.latencies_s)
    seconds = max(measured.seconds, 1e-9)
    latencies_ms = sorted(latency_s * 1000 for latency_s in measured.latencies_s)
    return {
        "files": stored,
        "failed": len(measured.failures),
        "size": size_text(load.size_bytes),
        "jobs": load.jobs,
        "seconds": round(measured.seconds, 3),
        "files_per_s": round(stored / seconds, 1),
        "mib_per_s": round(stored * load.size_bytes / seconds / (1 << 20), 2),
        **{f"p{rank}_ms": percentile(latencies_ms, rank) for rank in (50, 90, 99, 100)},
        "deleted": measured.deleted,
    }


def percentile(ordered: list[float], rank: int) -> float | None:
    """The nearest rank; `None` of nothing."""
    if not ordered:
        return None
    return round(ordered[max(0, ceil(len(ordered) * rank / 100) - 1)], 2)


async def _bench(load: Load, measured: Measured) -> None:
    async with AsyncArtStore.from_home(connections=load.jobs) as store:
        await store.token()  # not part of what is measured
        shared = os.urandom(load.size_bytes)

        async def put(number: int) -> None:
            content = os.urandom(min(UNIQUE_BYTES, load.size_bytes)) + shared[UNIQUE_BYTES:]
            started_s = time.perf_counter()
            try:
                stored = await store.put(
                    content, filename=f"bench-{number}.bin", collection=load.collection
                )
            except (InvalidCredentials, InvalidToken, NotPermitted):
                raise  # the same for every file
            except ArtStoreError as failure:
                measured.failures.append(failure)
            else:
                measured.latencies_s.append(time.perf_counter() - started_s)
                measured.file_ids.append(stored.file_id)

        async def delete(file_id: str) -> None:
            try:
                await _delete(store, file_id)
            except ArtStoreError as failure:
                measured.failures.append(failure)
            else:
                measured.deleted += 1

        started_s = time.perf_counter()
        try:
            await _all(put, range(load.files), load.jobs)
        finally:
            measured.seconds = time.perf_counter() - started_s
            await _all(delete, list(measured.file_ids), load.jobs)


async def _all(work: Callable[[Any], Awaitable[None]], items: Iterable[Any], jobs: int) -> None:
    waiting = iter(items)

    async def one_after_the_other() -> None:
        for item in waiting:
            await work(item)

    try:
        async with asyncio.TaskGroup() as tasks:
            for _ in range(jobs):
                tasks.create_task(one_after_the_other())
    except BaseExceptionGroup as group:
        raise group.exceptions[0] from None


async def _delete(store: AsyncArtStore, file_id: str) -> None:
    deadline_s = time.monotonic() + CATALOGUE_WAIT_S
    while True:
        try:
            await store.delete(file_id)
        except UnknownFile:
            if time.monotonic() >= deadline_s:
                raise
        else:
            return
        await asyncio.sleep(0.2)
