"""Asks a time-stamping authority to confirm the newest state of the log, now and then.

Nothing waits for it. An authority that is away is asked again a minute later, and how old the
newest stamp is shows as a metric.
"""

import asyncio
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Final

import aiohttp
from cryptography.x509 import Certificate

from artstore.admin.services.audit.answers import whole_body
from artstore.admin.services.audit.reading import AuditLog
from artstore.core.audit.stamps import (
    REQUEST_TYPE,
    RESPONSE_BYTES_MAX,
    InvalidStamp,
    Stamp,
    StampFolder,
    stamp_request,
)
from artstore.core.clock import Clock
from artstore.core.logging import get_logger
from artstore.core.metrics import AUDIT_STAMPED
from artstore.core.tlog.store import LogStore

ANSWER_TIMEOUT_S: Final = 30.0


class Stamping:
    """One per process; only the writer of the log uses it."""

    def __init__(
        self,
        log: AuditLog,
        store: LogStore,
        url: str,
        authorities: Sequence[Certificate],
        *,
        interval: timedelta,
        clock: Clock,
    ) -> None:
        self._log = log
        self._stamps = StampFolder(store)
        self._url = url
        self._authorities = tuple(authorities)
        self._interval = interval
        self._clock = clock
        self._stamped: tuple[int, datetime] | None = None

    async def keep_up(self, session: aiohttp.ClientSession) -> None:
        """Have the newest confirmed state stamped, if the last stamp is old.

        Raises:
            aiohttp.ClientError, TimeoutError: The authority is away.
            InvalidStamp: Its answer is not to be believed.
            Unavailable, TlogError, OSError: The log cannot be read or written.
        """
        size, at = await self._newest()
        AUDIT_STAMPED.set(at.timestamp())
        state = await self._log.confirmed()
        if state.tree.size <= size or self._clock.now() - at < self._interval:
            return
        if not self._log.is_confirmed(state):
            return  # a stamp over what no witness has seen would help nobody who asks for one
        note = await asyncio.to_thread(
            self._stamps.note_to_stamp, state.tree.size, state.note.to_bytes()
        )
        stamp, at = await self._ask(session, note)
        await asyncio.to_thread(self._stamps.add, stamp)
        self._stamped = stamp.size, at
        AUDIT_STAMPED.set(at.timestamp())
        get_logger().info("audit log time-stamped", size=stamp.size)

    async def _newest(self) -> tuple[int, datetime]:
        """Of the state that was stamped last, its size and when."""
        if self._stamped is None:
            stamp = await asyncio.to_thread(self._stamps.newest)
            at = datetime.fromtimestamp(0, self._clock.now().tzinfo)
            self._stamped = (0, at) if stamp is None else (stamp.size, self._time_of(stamp) or at)
        return self._stamped

    def _time_of(self, stamp: Stamp) -> datetime | None:
        try:
            return stamp.verified(self._authorities)
        except InvalidStamp:
            return None  # by an authority that was asked before this one

    async def _ask(self, session: aiohttp.ClientSession, note: bytes) -> tuple[Stamp, datetime]:
        request = stamp_request(note)
        async with session.post(
            self._url,
            data=request.body,
            headers={"Content-Type": REQUEST_TYPE},
            allow_redirects=False,
            timeout=aiohttp.ClientTimeout(total=ANSWER_TIMEOUT_S),
            raise_for_status=True,
        ) as response:
            stamp = Stamp(note, await whole_body(response, RESPONSE_BYTES_MAX))
        return stamp, stamp.verified(self._authorities, request.nonce)
