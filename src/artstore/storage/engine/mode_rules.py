"""What a mode and a retention allow. Pure rules; every path that creates, changes or deletes
asks them, and there is no way around: no flag, no role, no force.
"""

from datetime import datetime
from typing import Final

from artstore.core.errors import ModeForbids, RetentionForbids
from artstore.core.model.element import StorageMode
from artstore.core.model.file import FileRecord

_NEXT: Final = {StorageMode.RW: StorageMode.RO, StorageMode.RO: StorageMode.AR}


def check_create(mode: StorageMode) -> None:
    if not mode.accepts_files:
        raise ModeForbids(f"an element in mode {mode} takes no files", mode=mode.value)


def check_change(mode: StorageMode) -> None:
    """Records may be corrected as long as files may be added."""
    if not mode.accepts_files:
        raise ModeForbids(f"records do not change in mode {mode}", mode=mode.value)


def check_delete(mode: StorageMode, record: FileRecord, now: datetime) -> None:
    if mode is not StorageMode.EDIT:
        raise ModeForbids(f"nothing is deleted in mode {mode}", mode=mode.value)
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


def check_mode_change(current: StorageMode, wanted: StorageMode) -> None:
    """`rw -> ro -> ar`, one way; `edit` stays. Asking for the present mode is no change."""
    if wanted is not current and _NEXT.get(current) is not wanted:
        raise ModeForbids(f"mode {current} does not become {wanted}", mode=current.value)
