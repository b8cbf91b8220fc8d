"""Recognises content: known signatures here and at once, the rest by libmagic in a thread.

What comes while libmagic looks at something is looked at together: the way to a thread and back
costs as much as the look.
"""

import asyncio
import contextvars
import re
from collections import deque
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Final

# Before `magic`: it says which library and which table that loads. A table of the machine's own
# library would be of another version than the code.
import pylibmagic  # noqa: F401  isort: skip
import magic

from artstore.core.archives import HEAD_BYTES
from artstore.core.logging import get_logger
from artstore.ingester.services.signatures import UNKNOWN, Found, recognise
from artstore.ingester.services.types import base_of, needs_a_guess

TOGETHER_MAX: Final = 64
"""So many take libmagic some milliseconds."""
NOT_RECOGNISED: Final = Found(UNKNOWN, is_certain=False)
_TYPE: Final = re.compile(r"[a-z0-9!#$&^_.+-]+/[a-z0-9!#$&^_.+-]+")


_Asked = tuple[bytes, asyncio.Future[Found]]


class Detector:
    """`close` at the end."""

    def __init__(self) -> None:
        # One thread, since libmagic's cookies are not to be shared.
        self._thread = ThreadPoolExecutor(1, "magic")
        self._waiting: deque[_Asked] = deque()
        self._asking: asyncio.Task[None] | None = None
        self._cookie: magic.Magic | None = None

    def close(self) -> None:
        self._thread.shutdown(wait=False, cancel_futures=True)

    async def detect(self, head: bytes, tail: bytes, said: str) -> Found:
        """
        Args:
            head, tail: As for `signatures.recognise`.
            said: What its sender says it is.
        """
        found = recognise(head, tail)
        if found is not None:
            return found
        if not needs_a_guess(said):
            return NOT_RECOGNISED
        answer: asyncio.Future[Found] = asyncio.get_running_loop().create_future()
        self._waiting.append((head[:HEAD_BYTES], answer))
        if self._asking is None:
            # A context of its own, not that of the request which happens to be served now.
            self._asking = asyncio.get_running_loop().create_task(
                self._ask(), context=contextvars.Context()
            )
        return await answer

    async def _ask(self) -> None:
        """Until nobody waits any more."""
        try:
            while self._waiting:
                number = min(len(self._waiting), TOGETHER_MAX)
                await self._ask_for([self._waiting.popleft() for _ in range(number)])
        finally:
            self._asking = None

    async def _ask_for(self, asked: Sequence[_Asked]) -> None:
        heads = [head for head, _ in asked]
        guesses = asyncio.get_running_loop().run_in_executor(self._thread, self._guess_all, heads)
        # Whatever happens to the thread: each is answered.
        (found,) = await asyncio.gather(guesses, return_exceptions=True)
        for place, (_, answer) in enumerate(asked):
            if answer.done():
                continue  # who left while waiting
            if isinstance(found, BaseException):
                answer.set_exception(found)
            else:
                answer.set_result(found[place])

    def _guess_all(self, heads: Sequence[bytes]) -> list[Found]:
        if self._cookie is None:
            self._cookie = magic.Magic(mime=True)
        return [_guess(self._cookie, head) for head in heads]


def _guess(cookie: magic.Magic, head: bytes) -> Found:
    try:
        answer = cookie.from_buffer(head)
    except magic.MagicException as error:
        get_logger().warning("libmagic failed", cause=repr(error))
        return NOT_RECOGNISED
    # `text/*` for what has control characters would claim too much.
    usable = _TYPE.fullmatch(answer) and not answer.startswith(("text/", "inode/"))
    # Some of its rules look at two bytes.
    return Found(base_of(answer), is_certain=False) if usable else NOT_RECOGNISED
