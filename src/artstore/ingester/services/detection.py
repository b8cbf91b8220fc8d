"""Recognises content: known signatures here and at once, the rest by libmagic in threads."""

import asyncio
import re
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Final

# Before `magic`: it says which library and which table that loads. A table of the machine's own
# library would be of another version than the code.
import pylibmagic  # noqa: F401  isort: skip
import magic

from artstore.core.archives import HEAD_BYTES
from artstore.core.logging import get_logger
from artstore.ingester.services.signatures import UNKNOWN, Found, recognise
from artstore.ingester.services.types import base_of

THREADS: Final = 2
NOT_RECOGNISED: Final = Found(UNKNOWN, is_certain=False)
_TYPE: Final = re.compile(r"[a-z0-9!#$&^_.+-]+/[a-z0-9!#$&^_.+-]+")


class Detector:
    """`close` at the end."""

    def __init__(self) -> None:
        self._threads = ThreadPoolExecutor(THREADS, "magic")
        self._local = threading.local()

    def close(self) -> None:
        self._threads.shutdown(wait=False, cancel_futures=True)

    async def detect(self, head: bytes, tail: bytes) -> Found:
        """Args as for `signatures.recognise`."""
        found = recognise(head, tail)
        if found is not None:
            return found
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._threads, self._ask_libmagic, head[:HEAD_BYTES])

    def _ask_libmagic(self, head: bytes) -> Found:
        # One cookie a thread: libmagic's are not to be shared, and take 10 ms to make.
        cookie = getattr(self._local, "cookie", None)
        if cookie is None:
            cookie = self._local.cookie = magic.Magic(mime=True)
        try:
            answer = cookie.from_buffer(head)
        except magic.MagicException as error:
            get_logger().warning("libmagic failed", cause=repr(error))
            return NOT_RECOGNISED
        # `text/*` for what has control characters would claim too much.
        usable = _TYPE.fullmatch(answer) and not answer.startswith(("text/", "inode/"))
        # Some of its rules look at two bytes.
        return Found(base_of(answer), is_certain=False) if usable else NOT_RECOGNISED
