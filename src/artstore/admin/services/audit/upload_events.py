"""Events of plain uploads, spelled by hand: they come by thousands a second.

What comes out is what `FileEvents` makes of the same line; tests hold the two equal.
"""

import os
from collections.abc import Callable, Iterator
from hashlib import sha256
from typing import Final

from artstore.admin.repository.audit_events import EventRow
from artstore.admin.repository.catalogue_files import FileRow
from artstore.admin.services.audit.file_events import event_id_of
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

    def row_of(self, upload: Upload, file: FileRow) -> EventRow:
        """Args: `file`: the catalogue's row of it."""
        person, account = ids_of(upload.subject)
        personal, facts = self._commit(upload)
        event_id = event_id_of(self._feed_id, upload)
        entry = _ENTRY % (
            _ACTOR % (_text(account), _text(person), upload.services, _text(upload.token_id)),
            upload.at_text,
            upload.collection,
            _text(upload.trace_id),
            self._details(upload, file.record),
            self._element_id,
            event_id,
            upload.file_id,
            personal,
        )
        return EventRow(
            event_id,
            upload.at,
            AuditKind.FILE_UPLOADED,
            Outcome.SUCCEEDED,
            person,
            account,
            file.file_id,
            upload.collection,
            self._element_id,
            entry.encode(),
            facts.encode(),
        )

    def _details(self, upload: Upload, record: bytes) -> str:
        return _DETAILS % (
            upload.content_type,
            self._feed_id,
            sha256(record).hexdigest(),
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


def _salts(random_bytes: Callable[[int], bytes]) -> Iterator[bytes]:
    """Asking the kernel for each on its own would be a sixth of all work for an upload."""
    while True:
        many = random_bytes(SALT_BYTES * SALTS_AT_ONCE)
        for start in range(0, len(many), SALT_BYTES):
            yield many[start : start + SALT_BYTES]


def _text(value: str | None) -> str:
    return "null" if value is None else f'"{value}"'
