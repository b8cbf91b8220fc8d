"""Writes the audit log while this process leads: it holds the lock in PostgreSQL and the one on
the folder. Other instances ask again and again, and take over when its connection is gone.
"""

import asyncio
import contextlib
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import timedelta
from typing import Final

import aiohttp
import orjson
import psycopg

from artstore.admin.jobs.regular import Regular
from artstore.admin.repository import audit_events, audit_feeds, audit_log
from artstore.admin.repository.audit_feeds import Intent
from artstore.admin.repository.catalogue_files import Connection
from artstore.admin.services.audit.sequencer import BATCH_EVENTS_MAX, LogIdentity, Sequencer
from artstore.admin.services.audit.stamping import Stamping
from artstore.admin.services.audit.trail import Deed, Trail, Who, row_of
from artstore.admin.services.audit.witnesses import Witnesses
from artstore.core.clock import Clock
from artstore.core.errors import Unavailable
from artstore.core.logging import get_logger
from artstore.core.metrics import AUDIT_LOG_BROKEN, AUDIT_OUTBOX_AGE
from artstore.core.model.audit import Actor, AuditKind, Outcome, PersonalField
from artstore.core.model.ids import FileId
from artstore.core.settings import ConfigurationError
from artstore.core.tlog.errors import TlogError
from artstore.core.tlog.store import WritableStore

LEADER_POLL_S: Final = 1.0
BATCH_EVERY_S: Final = 1.0
"""Events wait so long for company: each batch costs about eight flushes of the disk."""
LOOK_FOR_EVENTS_EVERY_S: Final = 0.5
"""While there are none: the first after a pause does not wait for company."""
LOOK_AROUND_EVERY_S: Final = 5.0
OVERDUE_AFTER_S: Final = 300.0
WITNESS_EVERY_S: Final = 10.0
STAMP_EVERY_S: Final = 10.0
"""How often it is looked whether a time stamp is due."""
THIN_OUT_EVERY_S: Final = 3600.0
ALL_CHECKPOINTS_FOR: Final = timedelta(days=1)
BACKOFF_MIN_S: Final = 1.0
BACKOFF_MAX_S: Final = 10.0
INTENT_LIFE: Final = timedelta(days=1)
"""A feed tells of a change within seconds; later, only an element that was away for long."""
DONE_INTENT_LIFE: Final = timedelta(days=366)
"""What an element has confirmed its feed will tell of, unless it changed nothing. Forgotten too
early, a copy would be told as an upload, and a deletion without whoever wanted it."""

Connect = Callable[[], Awaitable[Connection]]


class AuditLogWriter:
    def __init__(
        self,
        connect: Connect,
        open_store: Callable[[], WritableStore],
        identity: LogIdentity,
        witnesses: Witnesses,
        *,
        stamping: Stamping | None = None,
        clock: Clock,
        trail: Trail,
    ) -> None:
        self._connect = connect
        self._open_store = open_store
        self._stamping = stamping
        self._identity = identity
        self._witnesses = witnesses
        self._clock = clock
        self._trail = trail
        self._failures = 0
        self._thinned_out_s = float("-inf")

    async def run(self) -> None:
        """Until cancelled. Whatever fails is tried again; what is damaged waits for people."""
        while True:
            try:
                async with self._leading() as connection:
                    await self._write(connection)
            except (psycopg.Error, Unavailable) as error:
                get_logger().warning("the audit cannot reach its database", cause=repr(error))
            except (TlogError, ConfigurationError, OSError) as error:
                AUDIT_LOG_BROKEN.set(1)
                get_logger().error("audit log cannot be written", cause=repr(error))
            except Exception as error:  # noqa: BLE001  the edge of the job: log it, go on
                get_logger().error("audit log writer failed", exc_info=error)
            await self._back_off()

    @contextlib.asynccontextmanager
    async def _leading(self) -> AsyncIterator[Connection]:
        async with await self._connect() as connection:
            while not await audit_log.try_to_lead(connection):  # noqa: ASYNC110  as followers do
                await asyncio.sleep(LEADER_POLL_S)
            yield connection

    async def _write(self, connection: Connection) -> None:
        store = await asyncio.to_thread(self._open_store)
        store.lock()
        try:
            sequencer = Sequencer(connection, store, self._identity, self._clock, self._trail)
            await sequencer.open()
            AUDIT_LOG_BROKEN.set(0)
            asking = [asyncio.create_task(self._ask_witnesses())]
            if self._stamping is not None:
                asking.append(asyncio.create_task(self._ask_for_stamps(self._stamping)))
            try:
                await self._sequence(connection, sequencer)
            finally:
                for task in asking:
                    task.cancel()
                await asyncio.wait(asking)
        finally:
            store.close()

    async def _sequence(self, connection: Connection, sequencer: Sequencer) -> None:
        """Until the keys that sign were retired."""
        looked_at_s = float("-inf")
        regular = Regular("audit_log", OVERDUE_AFTER_S)
        while True:
            if self._clock.monotonic_s() - looked_at_s > LOOK_AROUND_EVERY_S:
                looked_at_s = self._clock.monotonic_s()
                if not await self._look_around(connection):
                    return
            logged = await sequencer.step()
            regular.went_well()
            self._failures = 0
            if logged < BATCH_EVENTS_MAX:
                await asyncio.sleep(BATCH_EVERY_S if logged else LOOK_FOR_EVENTS_EVERY_S)

    async def _look_around(self, connection: Connection) -> bool:
        """Whether to go on with the same keys."""
        AUDIT_OUTBOX_AGE.set(await audit_log.outbox_age_s(connection))
        await self._settle_intents(connection)
        if self._clock.monotonic_s() - self._thinned_out_s > THIN_OUT_EVERY_S:
            self._thinned_out_s = self._clock.monotonic_s()
            await audit_log.thin_out(connection, self._clock.now() - ALL_CHECKPOINTS_FOR)
        return await audit_log.has_keys(connection)

    async def _settle_intents(self, connection: Connection) -> None:
        """Somebody asked for a change, and no feed told of it. If the caller was told of success,
        it changed nothing (a second deletion); else nobody knows, and that is written down."""
        async with connection.transaction():
            now = self._clock.now()
            await audit_feeds.forget_done(connection, now - DONE_INTENT_LIFE)
            unclear = await audit_feeds.take_unclear(connection, now - INTENT_LIFE)
            if unclear:
                rows = [row_of(*self._trail.event_of(*_unclear_deed(item))) for item in unclear]
                await audit_events.add_many(connection, rows)

    async def _ask_witnesses(self) -> None:
        async with aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar()) as session:
            try:
                while True:
                    try:
                        await self._witnesses.begin_round(session)
                    except (Unavailable, TlogError, OSError) as error:
                        get_logger().warning("witnesses cannot be asked", cause=repr(error))
                    await asyncio.sleep(WITNESS_EVERY_S)
            finally:
                await self._witnesses.end()

    async def _ask_for_stamps(self, stamping: Stamping) -> None:
        async with aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar()) as session:
            while True:
                try:
                    await stamping.keep_up(session)
                except (
                    aiohttp.ClientError,
                    TimeoutError,
                    Unavailable,
                    TlogError,
                    OSError,
                ) as error:
                    get_logger().warning("no time stamp", cause=repr(error))
                await asyncio.sleep(STAMP_EVERY_S)

    async def _back_off(self) -> None:
        delay_s = min(BACKOFF_MIN_S * 2**self._failures, BACKOFF_MAX_S)
        self._failures = min(self._failures + 1, 16)
        await asyncio.sleep(delay_s * random.uniform(0.5, 1))  # noqa: S311  only spreads load


def _unclear_deed(intent: Intent) -> tuple[Who, Deed]:
    actor = Actor.model_validate_json(intent.actor)
    facts = {PersonalField(name): value for name, value in orjson.loads(intent.facts).items()}
    subject = f"account:{actor.account}" if actor.account else None
    if actor.person:
        subject = f"user:{actor.person}"
    who = Who(subject=subject, token_id=actor.token_id, services=actor.services)
    deed = Deed(
        AuditKind(intent.kind),
        Outcome.FAILED,
        problem=Unavailable.code,
        file_id=FileId(str(intent.file_id)) if intent.file_id else None,
        details={"asked_under": intent.correlation_id},
        personal=facts,
    )
    return who, deed
