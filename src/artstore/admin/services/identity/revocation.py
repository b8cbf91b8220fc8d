"""Revokes tokens, and spreads the news.

The record is in PostgreSQL, in the transaction of what causes it. When that is committed, this
instance's mirror and Valkey hear of it before the answer is given; all other instances ask the
database twice a second, and the modules hear of it from any of them.
"""

import asyncio
from datetime import datetime, timedelta
from typing import Final

from redis.exceptions import ResponseError
from sqlalchemy.ext.asyncio import AsyncSession

from artstore.admin.repository import revocations as repository
from artstore.admin.repository.valkey import OUTAGES, Valkey
from artstore.core.clock import Clock
from artstore.core.database import Database
from artstore.core.errors import Unavailable, UnknownAccount
from artstore.core.logging import get_logger
from artstore.core.revocation import Revocation, RevocationKind, RevocationMirror
from artstore.core.revocation_sources import FIELD, HEAD, STREAM

SPREAD_EVERY_S: Final = 0.5
DATABASE_ANSWER_S: Final = 2.0
"""A database that takes longer counts as away."""
TOKEN_LIFETIME_MAX: Final = timedelta(seconds=3600 + 60)
"""No token lives longer, whatever its lifetime was set to when it was made; and some skew."""
KEY_LIFETIME: Final = timedelta(days=1)
"""Whoever has a stolen key chooses how long a token lives; after this no module caches the key."""
FORGET_EVERY_S: Final = 3600.0
_SPREAD = "revocations to spread"


class Revocations:
    """One per process; `run` it in the background."""

    def __init__(
        self, database: Database, valkey: Valkey, mirror: RevocationMirror, clock: Clock
    ) -> None:
        self._database = database
        self._valkey = valkey
        self._clock = clock
        self._spreading = asyncio.Lock()
        self._reading: asyncio.Task[list[Revocation]] | None = None
        # Not `mirror.head_seq`: Valkey may know numbers that this database never gave.
        self._read_up_to = 0
        self._forgot_at_s = float("-inf")
        self.mirror = mirror

    async def revoke_token(
        self, session: AsyncSession, token_id: str, ends_at: datetime, by: str, reason: str
    ) -> None:
        values = {"kind": RevocationKind.TOKEN, "value": token_id, "ends_at": ends_at}
        await self._add(session, values, by, reason)

    async def revoke_session(
        self, session: AsyncSession, session_id: str, by: str, reason: str
    ) -> None:
        """Its access tokens. That it is refreshed no more is the caller's work."""
        await self._add(session, {"kind": RevocationKind.SESSION, "value": session_id}, by, reason)

    async def revoke_subject(
        self, session: AsyncSession, subject: str, by: str, reason: str
    ) -> None:
        """All tokens that a person or account holds at this moment; new ones are good.

        Counted in epochs, not in time: instances whose clocks differ agree all the same.

        Raises:
            UnknownAccount: There is none.
        """
        epoch = await repository.raise_epoch(session, subject)
        if epoch is None:
            raise UnknownAccount
        values = {"kind": RevocationKind.ACCOUNT, "value": subject, "epoch": epoch}
        await self._add(session, values, by, reason)

    async def revoke_key(self, session: AsyncSession, kid: str, by: str, reason: str) -> None:
        values = {
            "kind": RevocationKind.KEY,
            "value": kid,
            "ends_at": self._clock.now() + KEY_LIFETIME,
        }
        await self._add(session, values, by, reason)

    async def revoke_everything(
        self, session: AsyncSession, issued_before: datetime, by: str, reason: str
    ) -> None:
        values = {"kind": RevocationKind.EVERYTHING, "value": "", "issued_before": issued_before}
        await self._add(session, values, by, reason)

    async def _add(
        self, session: AsyncSession, values: dict[str, object], by: str, reason: str
    ) -> None:
        now = self._clock.now()
        common = {
            "ends_at": now + TOKEN_LIFETIME_MAX,
            "revoked_at": now,
            "revoked_by": by,
            "reason": reason,
        }
        await repository.add(session, common | values)
        session.info[_SPREAD] = True

    async def committed(self, session: AsyncSession) -> None:
        """Call after the transaction of `session` ended well: what it revoked is in force."""
        if session.info.pop(_SPREAD, False):
            await self.spread()

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            try:
                await self.spread()
                await self._forget()
            except Unavailable as error:
                # The mirror grows old; whoever checks a token sees that.
                get_logger().warning("revocations not read", cause=repr(error))
            except Exception as error:  # noqa: BLE001  the edge of the job: log it, go on
                get_logger().error("revocations not spread", exc_info=error)
            await asyncio.sleep(SPREAD_EVERY_S)

    async def spread(self) -> None:
        """What the database knows reaches the mirror of this process and Valkey.

        Raises:
            Unavailable: The database is away.
        """
        async with self._spreading:
            news = await self._read()
            self.mirror.apply(news)
            self.mirror.confirm()
            self._read_up_to = max((each.seq for each in news), default=self._read_up_to)
            if self._valkey.usable:
                await self._tell_valkey()

    async def _read(self) -> list[Revocation]:
        """A question that a hanging server does not answer stays open, and is the only one:
        cancelling it would wait for that server too."""
        if self._reading is not None:
            # Asked before that was committed which its caller is about to spread.
            await self._answer(self._reading)
        self._reading = asyncio.create_task(
            repository.beyond(self._database, self._read_up_to, self._clock.now())
        )
        return await self._answer(self._reading)

    async def _answer(self, reading: asyncio.Task[list[Revocation]]) -> list[Revocation]:
        await asyncio.wait({reading}, timeout=DATABASE_ANSWER_S)
        self._database.answers = reading.done()
        if not reading.done():
            raise Unavailable("the database does not answer")
        self._reading = None
        return reading.result()

    async def _tell_valkey(self) -> None:
        try:
            head = await self._valkey.client.get(HEAD)
            if head is None or int(head) < self._read_up_to:
                await self._append(self.mirror.beyond(0))
        except OUTAGES as error:
            self._valkey.went_away(error)
        else:
            self._valkey.answered()

    async def _append(self, live: list[Revocation]) -> None:
        """What the stream lacks; other instances may be about to do the same."""
        last = await self._last_in_stream()
        async with self._valkey.client.pipeline(transaction=True) as pipeline:
            for each in live:
                if each.seq > last:
                    pipeline.xadd(STREAM, {FIELD: each.model_dump_json()}, id=f"{each.seq}-0")
            if live:
                pipeline.xtrim(STREAM, minid=f"{live[0].seq}-0")
            pipeline.set(HEAD, self.mirror.head_seq)
            answers = await pipeline.execute(raise_on_error=False)
        for answer in answers:
            # An id that is there already: another instance was faster, and wrote the same.
            if isinstance(answer, Exception) and "equal or smaller" not in str(answer):
                raise answer

    async def _last_in_stream(self) -> int:
        try:
            state = await self._valkey.client.xinfo_stream(STREAM)
        except ResponseError:
            return 0
        last = state["last-generated-id"]
        text = last.decode() if isinstance(last, bytes) else str(last)
        return int(text.partition("-")[0])

    async def _forget(self) -> None:
        now_s = self._clock.monotonic_s()
        if now_s - self._forgot_at_s < FORGET_EVERY_S:
            return
        self._forgot_at_s = now_s
        async with self._database.session() as session:
            await repository.forget(session, self._clock.now())
