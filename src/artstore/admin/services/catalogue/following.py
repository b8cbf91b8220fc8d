"""Follows one storage element: list, then watch. The protocol is in DESIGN.md."""

import asyncio
import time
from collections.abc import Sequence
from contextlib import aclosing
from dataclasses import dataclass
from datetime import datetime
from itertools import pairwise
from typing import Final
from uuid import UUID

from opentelemetry.trace import SpanKind

from artstore.admin.repository.catalogue_files import FileRow, Stretch, mark_missing
from artstore.admin.repository.positions import Position, Positions
from artstore.admin.services.audit.file_trail import FileTrail
from artstore.admin.services.audit.trail import Trail
from artstore.admin.services.catalogue.element_client import BrokenAnswer, ElementClient, Feed
from artstore.admin.services.catalogue.feed_lines import (
    BATCH_LINES_MAX,
    Line,
    batches,
    parse_line,
    parse_record,
    read_ahead,
)
from artstore.admin.services.catalogue.findings import apply_findings
from artstore.admin.services.catalogue.rows import row_of, write_rows, write_uploads
from artstore.admin.services.catalogue.uploads import Upload
from artstore.core.clock import Clock
from artstore.core.errors import PositionGone
from artstore.core.logging import get_logger
from artstore.core.metrics import CATALOGUE_CHANGES, CATALOGUE_LAG, CATALOGUE_MISSING_FILES
from artstore.core.model.event import Change
from artstore.core.model.file import FileRecord
from artstore.core.spans import Step, record_in

_MERGE: Final = {"db.system.name": "postgresql", "db.operation.name": "MERGE"}
LINES_PER_REQUEST: Final = 2 * BATCH_LINES_MAX
GATHER_S: Final = 0.5
"""Under load, changes that come within this share one request, one transaction, one insert.
The first after a pause is shown at once, all others within a second."""


class OtherElement(Exception):
    """At the registered address answers an element of another name."""


@dataclass(frozen=True)
class Source:
    """Where changes come from, and how long an element may hold back an answer."""

    client: ElementClient
    wait_s: int


class Following:
    """One element, while this process leads it."""

    def __init__(self, positions: Positions, source: Source, clock: Clock, trail: Trail) -> None:
        self._positions = positions
        self._audit = FileTrail(positions.connection, trail)
        self._client = source.client
        self._wait_s = source.wait_s
        self._clock = clock
        self._log = get_logger()

    async def step(self) -> None:
        """Do what comes next: begin a listing, go on with it, or wait for changes.

        Raises:
            Unavailable, BrokenAnswer, OtherElement: Of the element; try again later.
            Superseded: A rebuild was ordered meanwhile; try again at once.
            psycopg.Error: The connection is lost, and the leadership with it.
        """
        position = await self._positions.read()
        match position.state:
            case "new":
                await self._begin_listing(position)
            case "listing":
                await self._list(position)
            case _:
                await self._watch(position)

    async def _begin_listing(self, position: Position) -> None:
        info = await self._client.info(position.url)
        if info.element_id != position.element_id:
            raise OtherElement(info.element_id)
        now = self._clock.now()
        async with self._positions.connection.transaction():
            # The catalogue could go on at the head; the audit must not miss what lies before.
            seq = await self._audit.resume_at(info, now)
            await self._positions.begin_listing(position, info.feed_id, seq, now)
        self._log.info(
            "listing begins",
            element=position.element_id,
            feed_id=info.feed_id,
            position=seq,
        )

    async def _list(self, position: Position) -> None:
        """One request's worth of the listing. An empty answer is its end."""
        after = position.listing_after
        async with (
            self._client.listing(
                position.url, str(after) if after else None, LINES_PER_REQUEST
            ) as lines,
            aclosing(read_ahead(batches(lines, parse_record))) as pages,
        ):
            last = after
            async for page in pages:
                last = await self._apply_page(position, page, last)
        if last == after:
            await self._end_listing(position)

    async def _apply_page(
        self, position: Position, page: list[FileRecord], after: UUID | None
    ) -> UUID:
        rows = [row_of(record, position.element_id, position.generation) for record in page]
        _check_order(rows, after)
        last = rows[-1].file_id
        connection = self._positions.connection
        async with connection.transaction():
            await self._positions.advance_listing(position, last, self._clock.now())
            await write_rows(connection, rows)
            await mark_missing(connection, _stretch(position, after, last))
        self._show_lag(position.element_id, position.listing_started_at)
        self._log.info("files listed", element=position.element_id, files=len(rows))
        return last

    async def _end_listing(self, position: Position) -> None:
        connection = self._positions.connection
        # A file that came while the listing ran may lie behind its end; the feed tells of it.
        rest = id_from(position.listing_started_at or self._clock.now())
        async with connection.transaction():
            await self._positions.end_listing(position, self._clock.now())
            await mark_missing(connection, _stretch(position, position.listing_after, rest))
        missing = await self.count_missing(position.element_id)
        self._log.info("listing ends", element=position.element_id, missing=missing)

    async def _watch(self, position: Position) -> None:
        asked_at = self._clock.now()
        try:
            async with self._client.feed(
                position.url, position.position_seq, LINES_PER_REQUEST, self._wait_s
            ) as feed:
                if feed.feed_id == position.feed_id:
                    await self._take_over(position, feed, asked_at)
                    return
                self._log.warning("the feed is another one", element=position.element_id)
        except PositionGone:
            self._log.warning("the feed position is gone", element=position.element_id)
        await self._begin_listing(position)

    async def _take_over(self, position: Position, feed: Feed, asked_at: datetime) -> None:
        seq = position.position_seq
        since = None
        async with aclosing(read_ahead(batches(feed.lines, parse_line))) as arriving:
            async for lines in arriving:
                _check_sequence(lines, seq)
                seq = max(seq, lines[-1].seq)
                await self._apply_lines(position, lines, seq)
                since = lines[-1].at
        seq = max(seq, feed.position_seq)
        complete = seq >= feed.head_seq
        await self._positions.advance(
            position, seq, self._clock.now(), complete_until=asked_at if complete else None
        )
        self._show_lag(position.element_id, None if complete else since)
        if complete and since is not None:
            await asyncio.sleep(GATHER_S)

    async def _apply_lines(self, position: Position, lines: Sequence[Line], seq: int) -> None:
        element_id, generation = position.element_id, position.generation
        uploads = [line for line in lines if isinstance(line, Upload)]
        changes = [line for line in lines if isinstance(line, Change)]
        connection = self._positions.connection
        began_ns = time.time_ns()
        async with connection.transaction():
            await self._positions.advance(position, seq, self._clock.now(), complete_until=None)
            merging_ns = time.time_ns()
            if uploads:
                await write_uploads(connection, uploads, element_id, generation)
            if changes:
                rows = [row_of(change.record, element_id, generation) for change in changes]
                await write_rows(connection, rows)
            merged_ns = time.time_ns()
            await apply_findings(connection, element_id, lines)
            await self._audit.take_over(position, lines, self._clock.now())
        CATALOGUE_CHANGES.labels(element_id).inc(len(uploads) + len(changes))
        trace_ids = list(dict.fromkeys(line.trace_id for line in lines if line.trace_id))
        record_in(
            trace_ids,
            Step("catalogue follow", SpanKind.CONSUMER, began_ns, time.time_ns(), {}),
            Step("postgresql MERGE", SpanKind.CLIENT, merging_ns, merged_ns, _MERGE),
        )
        self._log.info(
            "changes applied",
            element=element_id,
            changes=len(lines),
            position=seq,
            trace_ids=trace_ids,
        )

    async def count_missing(self, element_id: str) -> int:
        missing = await self._positions.count_missing()
        CATALOGUE_MISSING_FILES.labels(element_id).set(missing)
        return missing

    def _show_lag(self, element_id: str, since: datetime | None) -> None:
        """`since`: from when there are changes to take over; `None`: there are none."""
        lag_s = (self._clock.now() - since).total_seconds() if since else 0
        CATALOGUE_LAG.labels(element_id).set(max(lag_s, 0))


def _stretch(position: Position, after: UUID | None, last: UUID) -> Stretch:
    return Stretch(position.element_id, position.generation, after or UUID(int=0), last)


def id_from(moment: datetime) -> UUID:
    """Below all ids that were made since `moment`, above those made before."""
    return UUID(int=int(moment.timestamp() * 1000) << 80)


def _check_order(rows: list[FileRow], after: UUID | None) -> None:
    """What a page skips is marked as missing, so a page in disorder must not pass."""
    ids = [row.file_id for row in rows]
    if after is not None:
        ids.insert(0, after)
    if any(earlier >= later for earlier, later in pairwise(ids)):
        raise BrokenAnswer


def _check_sequence(lines: Sequence[Line], seq: int) -> None:
    """Changes may come again, yet those that are new in their order: whoever has got to `seq`
    never asks for earlier ones, and the audit takes them over by it."""
    new = [line.seq for line in lines if line.seq > seq]
    if any(earlier > later for earlier, later in pairwise(new)):
        raise BrokenAnswer
