"""What a mode and a retention allow. Pure rules; every path that creates, changes or deletes
asks them, and there is no way around: no flag, no role, no force.
"""

from datetime import datetime
from typing import Final

from artstore.core.errors import ConfirmationRequired, ModeForbids, RetentionForbids
from artstore.core.model.element import StorageMode
from artstore.core.model.file import FileRecord

_MEANING: Final = {
    (StorageMode.RW, StorageMode.RO): "the element takes no more files, and no record changes",
    (StorageMode.RO, StorageMode.AR): "reading a file of the element will need a restore",
    (StorageMode.RO, StorageMode.RW): "the element was closed, and will take files again: "
    "copies of it that were made since are no longer complete",
}
"""The changes there are, and what each means for those who use the element."""


def check_create(mode: StorageMode) -> None:
    if not mode.accepts_files:
        raise ModeForbids(f"an element in mode {mode} takes no files", mode=mode.value)


def check_change(mode: StorageMode) -> None:
    """Records may be corrected as long as files may be added."""
    if not mode.accepts_files:
        raise ModeForbids(f"records do not change in mode {mode}", mode=mode.value)


def check_delete(mode: StorageMode, record: FileRecord, now: datetime) -> None:
    """Retention and holds first: when they end is what people want to know, in each mode."""
    if record.holds:
        raise RetentionForbids(
            "a legal hold stands on this file", holds=[hold.id for hold in record.holds]
        )
    retention = record.retention
    if retention.forbids_deletion_at(now):
        until = retention.retain_until
        term = f"until {until:%Y-%m-%d %H:%M:%S} UTC" if until else "for good"
        raise RetentionForbids(
            f"this file must be kept {term}", retain_until=until and until.isoformat()
        )
    if mode is not StorageMode.EDIT:
        raise ModeForbids(f"nothing is deleted in mode {mode}", mode=mode.value)


def check_restored(mode: StorageMode) -> None:
    """A restored copy goes again, so it lies where things may go."""
    if mode is not StorageMode.EDIT:
        raise ModeForbids(f"no restored copies lie on an element in mode {mode}", mode=mode.value)


def check_mode_change(current: StorageMode, wanted: StorageMode, *, confirmed: bool) -> None:
    """`rw -> ro -> ar`, one way but for `ro -> rw`; `edit` stays, and so does `ar`.

    Raises:
        ModeForbids: There is no such change.
        ConfirmationRequired: There is, and nobody said that it is meant.
    """
    meaning = _MEANING.get((current, wanted))
    if meaning is None:
        raise ModeForbids(f"mode {current} does not become {wanted}", mode=current.value)
    if not confirmed:
        raise ConfirmationRequired(f"{current} to {wanted}: {meaning}", mode=current.value)
