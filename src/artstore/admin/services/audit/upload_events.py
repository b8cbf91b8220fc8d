"""Events of plain uploads, spelled by hand: they come by thousands a second.

What comes out is the row that `FileEvents` makes of the same line; tests hold the two equal.
"""

import os
from collections.abc import Callable, Iterator
from functools import lru_cache
from hashlib import sha256
from typing import Final

from artstore.admin.repository import binary_copy
from artstore.admin.services.audit.file_events import event_number_of
from artstore.admin.services.catalogue.uploads import Upload
from artstore.core.model.audit import (
    AUDIT_SCHEMA_VERSION,
    SALT_BYTES,
    AuditKind,
    Outcome,
    committed,
)
from artstore.core.recording.deeds import ids_of

SALTS_AT_ONCE: Final = 128

# RFC 8785: members in the order of their names, no spaces. No text of an `Upload` needs an escape.
_ACTOR: Final = '{"account":%s,"person":%s,"services":%s,"token_id":%s}'
_DETAILS: Final = (
    '{"content_type":"%s","feed_id":"%s","record_sha256":"%s","revision":%s,"seq":%d,'
    '"sha256":"%s","size":%s}'
)
_ENTRY: Final = (
    '{"actor":%s,"at":"%s","collection":"%s","correlation_id":%s,"details":%s,'
    '"element_id":"%s","event_id":"%s","file_id":"%s","kind":"file.uploaded",'
    '"outcome":"succeeded","personal":{%s},"problem":null,'
    f'"schema_version":{AUDIT_SCHEMA_VERSION},"target":null}}'
)


class UploadEvents:
    """Of one element's history. Neither name needs an escape in JSON."""

    def __init__(
        self, element_id: str, feed_id: str, random_bytes: Callable[[int], bytes] = os.urandom
    ) -> None:
        self._element_id = element_id
        self._feed_id = feed_id
        self._salts = _salts(random_bytes)

    def copied(self, upload: Upload) -> bytes:
        """The event's row as `audit_events.add_copied` takes it."""
        person, account, actor = _actor(upload.subject, upload.services, upload.token_id)
        personal, facts = self._commit(upload)
        number = event_number_of(self._feed_id, upload)
        entry = _ENTRY % (
            actor,
            upload.at_text,
            upload.collection,
            _text(upload.trace_id),
            self._details(upload),
            self._element_id,
            _spelled(number),
            upload.file_id,
            personal,
        )
        return binary_copy.row(
            binary_copy.number16(number),
            binary_copy.moment(upload.at),
            binary_copy.name(AuditKind.FILE_UPLOADED),
            binary_copy.name(Outcome.SUCCEEDED),
            binary_copy.name(person),
            binary_copy.name(account),
            binary_copy.spelled_identifier(upload.file_id),
            binary_copy.name(upload.collection),
            binary_copy.name(self._element_id),
            binary_copy.text(entry),
            binary_copy.text(facts),
        )

    def _details(self, upload: Upload) -> str:
        return _DETAILS % (
            upload.content_type,
            self._feed_id,
            sha256(upload.record).hexdigest(),
            upload.revision,
            upload.seq,
            upload.sha256,
            upload.size,
        )

    def _commit(self, upload: Upload) -> tuple[str, str]:
        """Members of `personal`, and the facts."""
        known = (
            ("actor_name", upload.name),
            ("client_address", upload.address),
            ("filename", upload.filename),
        )
        personal, facts = [], []
        for field, value in known:
            if value is not None:
                salt = next(self._salts)
                personal.append(f'"{field}":"{committed(field, salt, value)}"')
                facts.append(f'"{field}":{{"salt":"{salt.hex()}","value":"{value}"}}')
        return ",".join(personal), f"{{{','.join(facts)}}}"


@lru_cache(1024)
def _actor(subject: str, services: str, token_id: str | None) -> tuple[str | None, str | None, str]:
    """The person or the account, and the whole as JSON: one uploads many files."""
    person, account = ids_of(subject)
    return person, account, _ACTOR % (_text(account), _text(person), services, _text(token_id))


def _spelled(number: int) -> str:
    """As `UUID` spells it."""
    digits = f"{number:032x}"
    return f"{digits[:8]}-{digits[8:12]}-{digits[12:16]}-{digits[16:20]}-{digits[20:]}"


def _salts(random_bytes: Callable[[int], bytes]) -> Iterator[bytes]:
    """Asking the kernel for each on its own would be a sixth of all work for an upload."""
    while True:
        many = random_bytes(SALT_BYTES * SALTS_AT_ONCE)
        for start in range(0, len(many), SALT_BYTES):
            yield many[start : start + SALT_BYTES]


def _text(value: str | None) -> str:
    return "null" if value is None else f'"{value}"'
