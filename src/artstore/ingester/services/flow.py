"""A body on its way from a client to an element."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from artstore.core.errors import ArtStoreError, Unavailable


class NotReached(Exception):
    """The element was not reached or wanted no byte: it surely kept nothing."""


class Flow:
    """A body that says whether its content began, and why it broke off.

    aiohttp pulls it in a task of its own and hides what the body raises behind an error of
    the connection, so the reason is kept here.
    """

    def __init__(self, head: bytes, content: AsyncIterator[bytes], timeout_s: float) -> None:
        """Args: `head`: what goes before the content, if anything does."""
        self._head = head
        self._content = content
        self._timeout_s = timeout_s
        self.head_bytes = len(head)
        self.started = False
        self.failure: Exception | None = None
        self.deadline: asyncio.Timeout | None = None

    async def chunks(self) -> AsyncIterator[bytes]:
        if self._head:
            yield self._head
        self.started = True
        try:
            # While we wait for the client the element cannot be late.
            self._wait_for_element(limited=False)
            async for chunk in self._content:
                self._wait_for_element(limited=True)
                yield chunk
                self._wait_for_element(limited=False)
        except Exception as error:
            self.failure = error
            raise
        self._wait_for_element(limited=True)

    def _wait_for_element(self, *, limited: bool) -> None:
        if self.deadline is not None and not self.deadline.expired():
            now_s = asyncio.get_running_loop().time()
            self.deadline.reschedule(now_s + self._timeout_s if limited else None)

    @asynccontextmanager
    async def sent(self) -> AsyncIterator[None]:
        """Around the request whose body it is.

        Raises:
            NotReached: No byte was taken from the content.
            ArtStoreError: The element's refusal, or the failure of the content itself.
        """
        try:
            async with asyncio.timeout(self._timeout_s) as self.deadline:
                yield
        except (ArtStoreError, TimeoutError) as error:
            if self.failure is not None:
                raise self.failure from error
            if not self.started:
                raise NotReached from error
            if isinstance(error, TimeoutError):
                raise Unavailable("the storage element does not answer") from error
            raise
