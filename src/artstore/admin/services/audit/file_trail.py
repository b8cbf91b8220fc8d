"""Each change that an element tells of becomes one event, in the follower's transaction.

How far that is, is kept apart from how far the catalogue is: the catalogue may jump ahead by a
listing, the audit may not miss a change.
"""

from collections import defaultdict, deque
from collections.abc import Sequence
from datetime import datetime

from artstore.admin.repository import audit_events, audit_feeds
from artstore.admin.repository.audit_events import copied
from artstore.admin.repository.audit_feeds import Intent
from artstore.admin.repository.catalogue_files import Connection
from artstore.admin.repository.positions import Position
from artstore.admin.services.audit.file_events import FileEvents, kind_of
from artstore.admin.services.audit.trail import Deed, Trail, Who, row_of
from artstore.admin.services.audit.upload_events import UploadEvents
from artstore.admin.services.catalogue.uploads import Upload
from artstore.core.logging import get_logger
from artstore.core.model.audit import AuditKind, Outcome
from artstore.core.model.element import ElementInfo
from artstore.core.model.event import Change, Note

Line = Upload | Change | Note

CHANGED_KINDS = frozenset(
    {
        AuditKind.FILE_CHANGED,
        AuditKind.FILE_HOLD_PLACED,
        AuditKind.FILE_HOLD_RELEASED,
        AuditKind.FILE_RETENTION_CHANGED,
    }
)


class FileTrail:
    """On the connection of a follower."""

    def __init__(self, connection: Connection, trail: Trail) -> None:
        self._connection = connection
        self._trail = trail

    async def resume_at(self, info: ElementInfo, now: datetime) -> int:
        """From where the feed must be read so that no change is left without its event.

        Where changes are gone for good, an event says so.
        """
        element_id = info.element_id
        seq = await audit_feeds.seq(self._connection, element_id, info.feed_id)
        if seq is None:
            seq = info.oldest_seq
            before = await audit_feeds.other_feed(self._connection, element_id, info.feed_id)
            if before is not None:
                await self._note_break(info, *before)
        elif not info.oldest_seq <= seq <= info.head_seq:
            await self._note_break(info, info.feed_id, seq)
            seq = info.oldest_seq if seq < info.oldest_seq else info.head_seq
        await audit_feeds.save(self._connection, element_id, info.feed_id, seq, now)
        return seq

    async def take_over(self, position: Position, lines: Sequence[Line], now: datetime) -> None:
        """
        Args:
            position: Where the follower stood before these lines.

        Raises:
            Unavailable: The audit log is too far behind. The element keeps its changes.
        """
        self._trail.check()
        element_id, feed_id = position.element_id, position.feed_id
        assert feed_id is not None, "whoever follows knows which history"
        seq = await audit_feeds.seq(self._connection, element_id, feed_id)
        if seq is None:
            # Followed since before there was an audit.
            seq = position.position_seq
        new = [line for line in lines if line.seq > seq]
        if new:
            await self._write(element_id, feed_id, new)
            await audit_feeds.save(self._connection, element_id, feed_id, new[-1].seq, now)

    async def _write(self, element_id: str, feed_id: str, new: Sequence[Line]) -> None:
        events = FileEvents(element_id, feed_id)
        uploads = UploadEvents(element_id, feed_id)
        # An upload is asked of an ingester and says itself by whom.
        intents = await self._intents([line for line in new if not isinstance(line, Upload)])
        used: list[int] = []
        rows = []
        for line in new:
            if isinstance(line, Upload):
                rows.append(uploads.copied(line))
                continue
            intent = _fitting(intents, line)
            if intent is not None and intent.kind != AuditKind.FILE_COPIED:
                used.append(intent.intent_id)
            if isinstance(line, Note):
                rows.append(copied(events.row_of_note(line, intent)))
            else:
                rows.append(copied(events.row_of(line, line.record.to_json(), intent)))
        await audit_events.add_copied(self._connection, rows)
        if used:
            await audit_feeds.fulfil(self._connection, used)

    async def _intents(self, lines: Sequence[Change | Note]) -> "Waiting":
        waiting: Waiting = defaultdict(deque)
        traces = {line.trace_id for line in lines if line.trace_id}
        if traces:
            for intent in await audit_feeds.intents_of(self._connection, sorted(traces)):
                file_id = str(intent.file_id) if intent.file_id else None
                waiting[intent.correlation_id, file_id].append(intent)
        return waiting

    async def _note_break(self, info: ElementInfo, feed_id: str, seq: int) -> None:
        """Its disk was put back or replaced, or its old log is gone."""
        get_logger().error("changes of an element are lost to the audit", element=info.element_id)
        deed = Deed(
            AuditKind.ELEMENT_HISTORY_BROKEN,
            Outcome.FAILED,
            element_id=info.element_id,
            details={
                "known_feed_id": feed_id,
                "known_seq": seq,
                "feed_id": info.feed_id,
                "head_seq": info.head_seq,
                "oldest_seq": info.oldest_seq,
            },
        )
        await audit_events.add_many(self._connection, [row_of(*self._trail.event_of(Who(), deed))])


Waiting = dict[tuple[str, str | None], deque[Intent]]
"""Intents by correlation id and file, in the order they were asked."""


def _fitting(waiting: Waiting, line: Change | Note) -> Intent | None:
    """What asked for this. An element keeps the order of changes of one file."""
    copying = waiting.get((line.trace_id or "", None))
    if isinstance(line, Change) and copying and copying[0].kind == AuditKind.FILE_COPIED:
        # It stands for all files that are copied under this trace.
        return copying[0]
    file_id = line.record.file_id if isinstance(line, Change) else None
    asked = waiting.get((line.trace_id or "", file_id))
    if not asked:
        return None
    expected = kind_of(line)
    kinds = CHANGED_KINDS if expected is AuditKind.FILE_CHANGED else {expected}
    return asked.popleft() if asked[0].kind in kinds else None
