"""The keys that sign deposit receipts: registered here, each with an event in the audit log, and
published for good.
"""

from uuid import UUID

from artstore.admin.repository import audit_events, receipt_keys
from artstore.admin.services.audit.trail import Deed, Trail, Who, row_of
from artstore.core.audit.receipts import (
    KEY_TYPE,
    KEY_VALID_FOR,
    PublicReceiptKey,
    key_details,
    thumbprint,
)
from artstore.core.database import Database
from artstore.core.errors import NotPermitted, UnknownFile
from artstore.core.model.audit import AuditKind, Target
from artstore.core.model.file import FileRecord
from artstore.core.model.ids import FileId


class ReceiptKeys:
    def __init__(self, database: Database, trail: Trail) -> None:
        self._database = database
        self._trail = trail

    async def register(self, public_x: str, service: str) -> PublicReceiptKey:
        """Told again it is the same key.

        Args:
            service: Who has the private half, `<module>/<instance>`.

        Raises:
            NotPermitted: It is the key of another service.
            Unavailable: It cannot be written down that it was registered.
        """
        now = self._trail.now()
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
                return key
            known = await receipt_keys.find(session, key.kid)
        if known is None or known.key.service != service:
            raise NotPermitted("this key belongs to another service")
        return known.key

    async def published(self) -> list[PublicReceiptKey]:
        async with self._database.session() as session:
            return await receipt_keys.every(session)

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
