"""What a later state of a file, as another element has it, makes of the one that is here.

Pure rules. The other element is trusted no further than its own word on its own file: content
never changes, a retention never becomes shorter, and nothing is deleted that must be kept. What
must be kept, the record here says too: a hold on it stands until a record without it has come.
"""

from datetime import UTC, datetime
from typing import Final

from artstore.core.errors import (
    FileDeleted,
    FileExists,
    RetentionForbids,
    RevisionConflict,
    UnknownFile,
)
from artstore.core.model.element import StorageMode
from artstore.core.model.file import FileRecord
from artstore.core.model.retention import Retention
from artstore.storage.engine import mode_rules
from artstore.storage.engine.record import RecordType

_FOR_GOOD: Final = datetime.max.replace(tzinfo=UTC)
_NOT_AT_ALL: Final = datetime.min.replace(tzinfo=UTC)


def next_step(
    current: FileRecord | None, wanted: FileRecord, mode: StorageMode, now: datetime
) -> RecordType | None:
    """The kind of change that leads from `current` to `wanted`; `None` if they are the same.

    Raises:
        UnknownFile: There is no content here that the record could belong to.
        FileExists: It belongs to other content.
        FileDeleted, RevisionConflict: What is here is not an earlier state of it.
        ModeForbids, RetentionForbids.
    """
    if wanted == current:
        return None
    if current is None:
        if wanted.deleted is None:
            raise UnknownFile("there is no file with this id")
        mode_rules.check_create(mode)
        return RecordType.DELETED
    _check_is_later(current, wanted)
    if _kept_until(wanted.retention) < _kept_until(current.retention):
        raise RetentionForbids("a retention never becomes shorter")
    if wanted.deleted is None:
        mode_rules.check_change(mode)
        return RecordType.UPDATED
    for record in (current, wanted):
        mode_rules.check_delete(mode, record, now)
    return RecordType.DELETED


def _check_is_later(current: FileRecord, wanted: FileRecord) -> None:
    if (wanted.size, wanted.sha256) != (current.size, current.sha256):
        raise FileExists("this file id is taken by other content")
    if current.deleted is not None:
        raise FileDeleted("a file with this id was deleted")
    if wanted.revision <= current.revision:
        raise RevisionConflict(
            f"the record here has revision {current.revision}", revision=current.revision
        )


def _kept_until(retention: Retention) -> datetime:
    if retention.mode == "none":
        return _NOT_AT_ALL
    return retention.retain_until or _FOR_GOOD
