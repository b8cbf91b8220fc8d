"""How far the catalogue has followed an element: `catalogue.elements`, as its follower sees it.

All statements run on the follower's own connection, which holds the advisory lock of the
element. Whoever lost the connection lost the lock, and cannot write any more.
"""

import hashlib
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, NamedTuple
from uuid import UUID

from psycopg import AsyncConnection
from psycopg.rows import class_row

from artstore.admin.repository.catalogue_files import Connection
from artstore.core.database import Database
from artstore.core.secrets.chain import LoginSource

APPLICATION_NAME: Final = "artstore-follower"
CONNECT_TIMEOUT_S: Final = 3


class Superseded(Exception):
    """The state in the database is not the one this follower began with: read it again."""


class Followed(NamedTuple):
    """What a follower of an element begins with."""

    element_id: str
    url: str
    rebuilds: int
    """Ordered so far."""


@dataclass(frozen=True)
class Position:
    element_id: str
    url: str
    state: str
    feed_id: str | None
    position_seq: int
    listing_after: UUID | None
    listing_started_at: datetime | None
    generation: int
    rebuilds: int


_EVERY: Final = "SELECT element_id, url, rebuilds FROM catalogue.elements"
_READ: Final = """
SELECT element_id, url, state, feed_id, position_seq, listing_after, listing_started_at,
       generation, rebuilds
FROM catalogue.elements WHERE element_id = %s
"""
# Each write names the number of rebuilds it knows of: one ordered meanwhile makes it fail.
_BEGIN_LISTING: Final = """
UPDATE catalogue.elements
SET state = 'listing', feed_id = %(feed_id)s, position_seq = %(seq)s, listing_after = NULL,
    listing_started_at = %(now)s, generation = generation + 1, trouble = NULL, last_seen = %(now)s,
    complete_until = NULL
WHERE element_id = %(element_id)s AND rebuilds = %(rebuilds)s
"""
_ADVANCE_LISTING: Final = """
UPDATE catalogue.elements SET listing_after = %(after)s, trouble = NULL, last_seen = %(now)s
WHERE element_id = %(element_id)s AND rebuilds = %(rebuilds)s
"""
_END_LISTING: Final = """
UPDATE catalogue.elements
SET state = 'following', listing_after = NULL, listing_started_at = NULL, last_seen = %(now)s
WHERE element_id = %(element_id)s AND rebuilds = %(rebuilds)s
"""
_ADVANCE: Final = """
UPDATE catalogue.elements
SET position_seq = %(seq)s, trouble = NULL, last_seen = %(now)s,
    complete_until = coalesce(%(complete_until)s, complete_until)
WHERE element_id = %(element_id)s AND rebuilds = %(rebuilds)s
"""
_NOTE_TROUBLE: Final = "UPDATE catalogue.elements SET trouble = %s WHERE element_id = %s"
_COUNT_MISSING: Final = (
    "SELECT count(*) FROM catalogue.files WHERE element_id = %s AND state = 'missing'"
)


class Positions:
    """The row of one element, and the lock that makes this process its only follower."""

    def __init__(self, connection: Connection, element_id: str) -> None:
        self.connection = connection
        self._element_id = element_id

    async def try_to_lead(self) -> bool:
        """Whether this connection follows the element now; until it closes."""
        cursor = await self.connection.execute(
            "SELECT pg_try_advisory_lock(%s)", (lock_key(self._element_id),)
        )
        row = await cursor.fetchone()
        return bool(row and row[0])

    async def read(self) -> Position:
        """
        Raises:
            Superseded: The element is not registered any more.
        """
        async with self.connection.cursor(row_factory=class_row(Position)) as cursor:
            await cursor.execute(_READ, (self._element_id,))
            position = await cursor.fetchone()
        if position is None:
            raise Superseded
        return position

    async def begin_listing(
        self, known: Position, feed_id: str, head_seq: int, now: datetime
    ) -> None:
        """The listing shows at least what was there at `head_seq`; the feed tells the rest."""
        await self._write(_BEGIN_LISTING, known, now, feed_id=feed_id, seq=head_seq)

    async def advance_listing(self, known: Position, after: UUID, now: datetime) -> None:
        await self._write(_ADVANCE_LISTING, known, now, after=after)

    async def end_listing(self, known: Position, now: datetime) -> None:
        await self._write(_END_LISTING, known, now)

    async def advance(
        self, known: Position, seq: int, now: datetime, *, complete_until: datetime | None
    ) -> None:
        """`complete_until`: a moment up to which nothing is left to take over, if one is known."""
        await self._write(_ADVANCE, known, now, seq=seq, complete_until=complete_until)

    async def note_trouble(self, trouble: str) -> None:
        await self.connection.execute(_NOTE_TROUBLE, (trouble, self._element_id))

    async def count_missing(self) -> int:
        cursor = await self.connection.execute(_COUNT_MISSING, (self._element_id,))
        row = await cursor.fetchone()
        return int(row[0]) if row else 0

    async def _write(self, statement: str, known: Position, now: datetime, **values: Any) -> None:
        values |= {"element_id": known.element_id, "rebuilds": known.rebuilds, "now": now}
        cursor = await self.connection.execute(statement, values)
        if cursor.rowcount != 1:
            raise Superseded


async def registered(database: Database) -> set[Followed]:
    """All elements, as they are to be followed."""
    return {Followed(*row) for row in await database.ask(_EVERY)}


def lock_key(element_id: str) -> int:
    """A signed 64-bit number of its own for each element."""
    digest = hashlib.sha256(f"artstore catalogue follower {element_id}".encode()).digest()
    return int.from_bytes(digest[:8], signed=True)


async def connect(url: str, login_source: LoginSource) -> Connection:
    """A connection of its own, outside of any pool: its life is the leadership.

    A lost commit costs nothing here: rows and position are lost together and come again.
    """
    login = login_source()
    return await AsyncConnection.connect(
        url.replace("postgresql+psycopg://", "postgresql://", 1),
        user=login.username,
        password=login.password,
        autocommit=True,
        application_name=APPLICATION_NAME,
        connect_timeout=CONNECT_TIMEOUT_S,
        options="-c synchronous_commit=off",
        keepalives_idle=10,
        keepalives_interval=5,
        keepalives_count=3,
    )
