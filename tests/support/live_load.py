"""Everything an element does, at once, and a ledger of what it promised meanwhile."""

import asyncio
import hashlib
import io
import json
import os
import random
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import NamedTuple

import aiohttp
import orjson
from tests.support.storage_process import FRAME, HEAD, StorageProcess, framed, new_id

from artstore.core.model.batch import BATCH_TYPE, pack_file
from artstore.core.model.ids import FileId

SMALL = (0, 100, 4096, 60_000)
LARGE = (70_000, 700_000, 2_000_000)
BATCH_FILES = 12
AUDIT_AT_ONCE = 16


class FileState(NamedTuple):
    sha256: str
    tags: tuple[str, ...] = ()
    is_deleted: bool = False


@dataclass
class Ledger:
    """`promised`: what was acknowledged. `asked`: what was asked for and not answered; it may
    have happened or not."""

    promised: dict[FileId, FileState] = field(default_factory=dict)
    asked: dict[FileId, FileState] = field(default_factory=dict)

    def settle(self, file_id: FileId) -> None:
        self.promised[file_id] = self.asked.pop(file_id)

    def a_file(self, chance: random.Random) -> FileId | None:
        """One that lives, and with which nobody is busy."""
        for _ in range(20):
            if not self.promised:
                return None
            file_id = chance.choice(list(self.promised))
            if file_id not in self.asked and not self.promised[file_id].is_deleted:
                return file_id
        return None


class LiveLoad:
    """Runs until the element fails; a refusal is no failure of the test."""

    def __init__(
        self, http: aiohttp.ClientSession, element: StorageProcess, ledger: Ledger, seed: int
    ) -> None:
        self._http = http
        self._element = element
        self._ledger = ledger
        self._chance = random.Random(seed)
        self.acknowledged = 0
        self.refusals: Counter[int] = Counter()

    def start(self) -> list[asyncio.Task[None]]:
        kinds: list[Callable[[], Awaitable[None]]] = [
            *[self._put_small] * 4,
            self._put_batch,
            *[self._put_large] * 2,
            *[self._change] * 2,
            self._delete,
        ]
        return [asyncio.create_task(self._forever(kind)) for kind in kinds]

    async def _forever(self, work: Callable[[], Awaitable[None]]) -> None:
        while True:
            before = self.refusals.total()
            try:
                await work()
                if self.refusals.total() > before:
                    await self._rest()
            except (aiohttp.ClientError, ConnectionError, TimeoutError):
                return

    async def _put_small(self) -> None:
        await self._put(self._chance.choice(SMALL))

    async def _put_large(self) -> None:
        await self._put(self._chance.choice(LARGE))

    async def _put(self, size: int) -> None:
        file_id, content = new_id(), os.urandom(size)
        self._ledger.asked[file_id] = FileState(hashlib.sha256(content).hexdigest())
        url = self._element.url(f"/files/{file_id}")
        async with self._http.put(url, data=io.BytesIO(framed(content)), headers=FRAME) as answer:
            self._note(file_id, answer.status)
            await answer.read()

    async def _put_batch(self) -> None:
        files = {new_id(): os.urandom(self._chance.choice(SMALL)) for _ in range(BATCH_FILES)}
        for file_id, content in files.items():
            self._ledger.asked[file_id] = FileState(hashlib.sha256(content).hexdigest())
        head = json.dumps(HEAD).encode()
        body = b"".join(pack_file(file_id, head, None, files[file_id]) for file_id in files)
        url = self._element.url("/files:batch")
        headers = {"Content-Type": BATCH_TYPE}
        async with self._http.post(url, data=io.BytesIO(body), headers=headers) as answer:
            if answer.status != 200:
                self.refusals[answer.status] += 1
                return
            lines = (await answer.read()).splitlines()
        for file_id, line in zip(files, lines, strict=True):
            self._note(file_id, orjson.loads(line)["status"])

    async def _change(self) -> None:
        file_id = self._ledger.a_file(self._chance)
        if file_id is None:
            await self._rest()
            return
        tags = (os.urandom(4).hex(),)
        self._ledger.asked[file_id] = self._ledger.promised[file_id]._replace(tags=tags)
        url = self._element.url(f"/files/{file_id}")
        async with self._http.patch(url, json={"tags": tags}) as answer:
            self._note(file_id, answer.status)
            await answer.read()
        await self._rest()

    async def _delete(self) -> None:
        file_id = self._ledger.a_file(self._chance)
        if file_id is None:
            await self._rest()
            return
        self._ledger.asked[file_id] = self._ledger.promised[file_id]._replace(is_deleted=True)
        url = self._element.url(f"/files/{file_id}")
        async with self._http.delete(url, json={"by": "clerk", "reason": "wish"}) as answer:
            self._note(file_id, answer.status)
            await answer.read()
        await self._rest()

    def _note(self, file_id: FileId, status: int) -> None:
        assert status in (200, 201, 500, 503, 507), status
        if status in (200, 201):
            self._ledger.settle(file_id)
            self.acknowledged += 1
        else:
            self.refusals[status] += 1

    async def _rest(self) -> None:
        await asyncio.sleep(0.01)


async def audit(http: aiohttp.ClientSession, element: StorageProcess, ledger: Ledger) -> list[str]:
    """Asks for every file. Returns what is not as promised; settles what was open."""
    ids = list({**ledger.promised, **ledger.asked})
    turn = asyncio.Semaphore(AUDIT_AT_ONCE)

    async def found(file_id: FileId) -> FileState | str | None:
        async with turn:
            return await _state(http, element, file_id)

    states = await asyncio.gather(*map(found, ids))
    broken: list[str] = []
    for file_id, state in zip(ids, states, strict=True):
        allowed = {ledger.promised.get(file_id), ledger.asked.pop(file_id, None)}
        if file_id not in ledger.promised:
            allowed.add(None)
        elif None in allowed:
            allowed.remove(None)
        if state not in allowed:
            broken.append(f"{file_id} is {state}, not {allowed}")
        elif isinstance(state, FileState):
            ledger.promised[file_id] = state
    return broken


async def _state(
    http: aiohttp.ClientSession, element: StorageProcess, file_id: FileId
) -> FileState | str | None:
    """As readers see it; a text if they see damage."""
    async with http.get(element.url(f"/files/{file_id}")) as answer:
        if answer.status == 404:
            return None
        if answer.status != 200:
            return f"record {answer.status}: {await answer.text()}"
        record = orjson.loads(await answer.read())
    async with http.get(element.url(f"/files/{file_id}/content")) as answer:
        content = await answer.read()
        if answer.status == 410 and record["deleted"]:
            return FileState(record["digests"][0]["value"], tuple(record["tags"]), True)
        if answer.status != 200:
            return f"content {answer.status}: {content[:200]!r}"
    return FileState(hashlib.sha256(content).hexdigest(), tuple(record["tags"]))
