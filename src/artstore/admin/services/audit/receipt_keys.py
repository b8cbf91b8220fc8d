"""The keys that sign deposit receipts: registered here, each with an event in the audit log, and
published for good.
"""

from typing import Final
from uuid import UUID

from artstore.admin.repository import audit_events, receipt_keys
from artstore.admin.repository.receipt_keys import ReceiptKeyRow
from artstore.admin.services.audit.trail import Deed, Trail, Who, row_of
from artstore.core.audit.receipts import (
    KEY_TYPE,
    KEY_VALID_FOR,
    PublicReceiptKey,
    key_details,
    thumbprint,
)
from artstore.core.clock import Clock
from artstore.core.database import Database
from artstore.core.errors import NotPermitted, UnknownFile
from artstore.core.model.audit import AuditKind, Target
from artstore.core.model.file import FileRecord
from artstore.core.model.ids import FileId

KEPT_S: Final = 1.0
"""A key that another instance registered is published so much later."""


class ReceiptKeys:
    def __init__(self, database: Database, trail: Trail, clock: Clock) -> None:
        self._database = database
        self._trail = trail
        self._clock = clock
        self._published: list[PublicReceiptKey] = []
        self._published_until_s = float("-inf")

    async def register(self, public_x: str, service: str) -> PublicReceiptKey:
        """Told again it is the same key.

        Args:
            service: Who has the private half, `<module>/<instance>`.

        Raises:
            NotPermitted: It is the key of another service.
            Unavailable: It cannot be written down that it was registered.
        """
        now = self._clock.now()
        key = PublicReceiptKey(
            x=public_x,
            kid=thumbprint(public_x),
            iat=int(now.timestamp()),
            exp=int((now + KEY_VALID_FOR).timestamp()),
            service=service,
        )
        self._trail.check()
        deed = Deed(
            AuditKind.KEY_CREATED,
            target=Target(type=KEY_TYPE, id=key.kid),
            details=key_details(key),
        )
        event = row_of(*self._trail.event_of(Who(services=(service,)), deed))
        row = {
            "kid": key.kid,
            "public_x": key.x,
            "service": service,
            "created_at": now,
            "expires_at": now + KEY_VALID_FOR,
            "event_id": event.event_id,
        }
        async with self._database.session() as session:
            if await receipt_keys.add(session, row):
                await audit_events.add(session, event)
                known: ReceiptKeyRow | None = ReceiptKeyRow(key, event.event_id)
            else:
                known = await receipt_keys.find(session, key.kid)
        self._published_until_s = float("-inf")
        if known is None or known.key.service != service:
            raise NotPermitted("this key belongs to another service")
        return known.key

    async def published(self) -> list[PublicReceiptKey]:
        """Anybody may ask, so the database is not asked each time."""
        now_s = self._clock.monotonic_s()
        if now_s >= self._published_until_s:
            async with self._database.session() as session:
                self._published = await receipt_keys.every(session)
            self._published_until_s = now_s + KEPT_S
        return self._published

    async def record(self, file_id: FileId) -> FileRecord:
        """What a receipt is given for; also when the file was deleted.

        Raises:
            UnknownFile: The catalogue has none, or not yet.
        """
        async with self._database.session() as session:
            found = await audit_events.record_of(session, UUID(file_id))
        if found is None:
            raise UnknownFile
        return FileRecord.from_json(found)
