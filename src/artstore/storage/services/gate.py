"""Between the event loop and the writer thread: many files at a time, and many outcomes."""

import asyncio
from collections import deque
from contextlib import suppress
from typing import Any

from artstore.core.model.event import Cause
from artstore.core.model.file import FileRecord
from artstore.storage.engine.entries import Done
from artstore.storage.engine.new_files import NewFiles, NewSmallFile


class Gate:
    """Wakes the event loop once for all that became ready together: waking it costs a system
    call and makes both threads wait for the interpreter. Create it inside the loop."""

    def __init__(self, new_files: NewFiles) -> None:
        self._new_files = new_files
        self._loop = asyncio.get_running_loop()
        self._leaving: list[NewSmallFile] = []
        self._ready: deque[tuple[asyncio.Future[Any], object]] = deque()
        self._is_woken = False

    def put(self, record: FileRecord, content: bytes, cause: Cause, done: Done) -> None:
        """Store a small file (`NewFiles.put`).

        Files that come in one round of the event loop go to the engine together: one lock,
        one wake-up of its thread, one group of the log.
        """
        self._leaving.append(NewSmallFile(record, content, cause, done))
        if len(self._leaving) == 1:
            self._loop.call_soon(self._submit)

    def settle(self, answer: asyncio.Future[Any], result: object) -> None:
        """Gives `answer` its result, in the event loop. To be called in any thread."""
        self._ready.append((answer, result))
        if not self._is_woken:
            self._is_woken = True
            # RuntimeError: the loop is gone, and with it whoever asked.
            with suppress(RuntimeError):
                self._loop.call_soon_threadsafe(self._settle_ready)

    def _submit(self) -> None:
        leaving, self._leaving = self._leaving, []
        self._new_files.put_all(leaving)

    def _settle_ready(self) -> None:
        # First, so that whatever comes from here on wakes the loop again.
        self._is_woken = False
        while self._ready:
            answer, result = self._ready.popleft()
            if not answer.done():
                answer.set_result(result)
