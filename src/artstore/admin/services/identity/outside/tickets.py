"""What a browser carries for us from one step of the sign-in to the next.

Sealed, so nobody reads or makes one; for a few minutes; good once. Nothing has to be kept for
a sign-in that was only begun, so nobody can fill the database by beginning many.
"""

import base64
import binascii
import hashlib
import secrets
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import orjson
from sqlalchemy.ext.asyncio import AsyncSession

from artstore.admin.repository import used_tickets
from artstore.admin.services.identity.outside.id_token import NotAccepted
from artstore.admin.services.identity.sealing import Seal
from artstore.core.clock import Clock
from artstore.core.settings import ConfigurationError

ID_BYTES: Final = 16
TICKET_CHARS_MAX: Final = 4096


@dataclass(frozen=True)
class Ticket:
    content: dict[str, Any]
    ends_at: datetime
    ticket_id: str


class Tickets:
    def __init__(self, seal: Seal, purpose: str, lifetime: timedelta, clock: Clock) -> None:
        """`purpose`: a ticket for another one is no good."""
        self._seal = seal
        self._purpose = f"ticket {purpose}"
        self.lifetime = lifetime
        self._clock = clock

    def issue(self, content: dict[str, Any]) -> str:
        ends_at = self._clock.now() + self.lifetime
        plain = {
            "id": secrets.token_urlsafe(ID_BYTES),
            "ends_at": ends_at.timestamp(),
            "content": content,
        }
        sealed = self._seal.seal(orjson.dumps(plain), self._purpose)
        return base64.urlsafe_b64encode(sealed).rstrip(b"=").decode()

    def read(self, text: str | None) -> Ticket:
        """
        Raises:
            NotAccepted: There is none, none of ours, or its time is over.
        """
        if text is None or len(text) > TICKET_CHARS_MAX:
            raise NotAccepted("no ticket of ours")
        try:
            sealed = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
            plain = orjson.loads(self._seal.open(sealed, self._purpose))
        except (binascii.Error, ValueError, ConfigurationError) as error:
            raise NotAccepted("no ticket of ours") from error
        ticket = Ticket(
            plain["content"], datetime.fromtimestamp(plain["ends_at"], UTC), plain["id"]
        )
        if ticket.ends_at <= self._clock.now():
            raise NotAccepted("the ticket is too old")
        return ticket

    async def use(self, session: AsyncSession, ticket: Ticket) -> None:
        """
        Raises:
            NotAccepted: It was used before.
        """
        digest = hashlib.sha256(f"{self._purpose} {ticket.ticket_id}".encode()).digest()
        if not await used_tickets.use(session, digest, ticket.ends_at, self._clock.now()):
            raise NotAccepted("the ticket was used before")
