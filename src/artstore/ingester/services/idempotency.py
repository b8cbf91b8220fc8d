"""`Idempotency-Key`: the same upload sent again is stored once and gets the same answer.

The key is a UUIDv7 that the sender makes for the upload, and the file's id follows from it and
from who sends it. So an element that has the file is the memory, and nothing else is needed.
"""

import re
from datetime import datetime, timedelta
from hashlib import sha256
from typing import Final

from artstore.core.errors import IdempotencyKeyReused, InvalidRequest
from artstore.core.model.file import FileDraft, FileRecord
from artstore.core.model.ids import FileId, file_id_time, is_file_id

KEY_LIFETIME: Final = timedelta(hours=24)
CLOCK_AHEAD_MAX: Final = timedelta(minutes=1)
_QUOTED: Final = re.compile(r'"?([0-9a-f-]{36})"?')
_FIELD: Final = "idempotency-key"


def keyed_file_id(header: str, subject: str, now: datetime) -> FileId:
    """The id of the file that `subject` sends with this key.

    Raises:
        InvalidRequest: It is no UUIDv7, is older than a day, or from the future.
    """
    match = _QUOTED.fullmatch(header.strip().lower())
    if match is None or not is_file_id(match[1]):
        raise InvalidRequest("an Idempotency-Key is a UUIDv7, made for one upload", field=_FIELD)
    key = FileId(match[1])
    age = now - file_id_time(key)
    if age > KEY_LIFETIME or age < -CLOCK_AHEAD_MAX:
        raise InvalidRequest(
            "this Idempotency-Key is not of today: make a new one, and compare your clock",
            field=_FIELD,
        )
    digits = sha256(f"artstore idempotency key\n{subject}\n{key}".encode()).hexdigest()
    return FileId(f"{key[:14]}7{digits[:3]}-8{digits[3:6]}-{digits[6:18]}")


def check_same(draft: FileDraft, record: FileRecord, size: int, digest: str) -> None:
    """Raises `IdempotencyKeyReused`: what came now is not what `record` tells of."""
    came = (
        digest,
        size,
        draft.collection,
        draft.original_filename,
        draft.tags,
        draft.metadata,
        # As it was said: a period begins anew each time, and nobody may believe that it counts.
        draft.retention.policy,
    )
    stored = (
        record.sha256,
        record.size,
        record.collection,
        record.original_filename,
        record.tags,
        record.metadata,
        record.retention.policy,
    )
    if came != stored:
        raise IdempotencyKeyReused("this Idempotency-Key was used for another upload")
