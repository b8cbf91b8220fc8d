"""Who asked an element for a change of a file or of itself.

The element's feed tells that a change happened, and makes the event. It does not know who was
behind it, so that is written down before the element is asked: no change without its actor, and
none at all when this cannot be written.
"""

import contextlib
from collections.abc import AsyncIterator
from uuid import UUID

import orjson

from artstore.admin.repository import audit_feeds
from artstore.admin.services.audit.trail import Deed, Trail, Who
from artstore.core.database import Database
from artstore.core.errors import ArtStoreError, InternalError, Unavailable
from artstore.core.logging import get_logger
from artstore.core.model.audit import AuditKind, Outcome
from artstore.core.model.ids import FileId
from artstore.core.tracing import current_trace, enter_trace, new_trace


class Intents:
    def __init__(self, database: Database, trail: Trail) -> None:
        self._database = database
        self._trail = trail

    @contextlib.asynccontextmanager
    async def asking(
        self,
        who: Who,
        kind: AuditKind,
        file_id: FileId | None = None,
        *,
        element_id: str | None = None,
    ) -> AsyncIterator[None]:
        """Around the call to the element; `file_id` is `None` for a change of its mode.

        Raises:
            Unavailable: It cannot be written down, so the element must not be asked.
        """
        intent_id = await self._ask(who, kind, file_id)
        try:
            yield
        except (Unavailable, InternalError):
            # Nobody knows whether it happened. If it did, the feed will say so and find this.
            raise
        except ArtStoreError as refusal:
            deed = Deed(
                kind,
                Outcome.REFUSED,
                problem=refusal.code,
                file_id=file_id,
                element_id=element_id,
            )
            await self._refused(intent_id, who, deed)
            raise
        await self._done(intent_id)

    async def _ask(self, who: Who, kind: AuditKind, file_id: FileId | None) -> int:
        self._trail.check()
        trace = current_trace()
        if trace is None:
            # Outside of a request: the feed finds the intent by the trace all the same.
            trace = new_trace(sampled=False)
            enter_trace(trace)
        facts = {name.value: value for name, value in who.facts.items() if value is not None}
        values: dict[str, object] = {
            "correlation_id": trace.trace_id,
            "file_id": UUID(file_id) if file_id else None,
            "kind": kind.value,
            "asked_at": self._trail.now(),
            "actor": self._trail.actor_of(who).model_dump_json().encode(),
            "facts": orjson.dumps(facts),
        }
        async with self._database.session() as session:
            return await audit_feeds.ask(session, values)

    async def _refused(self, intent_id: int, who: Who, deed: Deed) -> None:
        async with self._database.session() as session:
            await audit_feeds.withdraw(session, intent_id)
            await self._trail.record_refusal(session, who, deed)

    async def _done(self, intent_id: int) -> None:
        """The change has happened, so a failure here is none of it: unmarked, the intent waits
        for the feed just as well."""
        try:
            async with self._database.session() as session:
                await audit_feeds.done(session, intent_id)
        except Unavailable as error:
            get_logger().warning("intent stays unmarked", cause=repr(error))
