"""What is written down of a download."""

from artstore.core.model.audit import AuditKind, PersonalField
from artstore.core.model.file import FileRecord
from artstore.core.model.ids import ElementId
from artstore.core.recording.deeds import Deed


def download(record: FileRecord, element_id: ElementId, byte_range: tuple[int, int] | None) -> Deed:
    """`byte_range`: first byte and the one behind the last; `None`: the whole file."""
    details: dict[str, object] = {
        "revision": record.revision,
        "sha256": record.sha256,
        "size": record.size,
    }
    if byte_range is not None:
        details["first_byte"], details["end_byte"] = byte_range
    return Deed(
        AuditKind.FILE_DOWNLOADED,
        file_id=record.file_id,
        collection=record.collection,
        element_id=element_id,
        details=details,
        personal={PersonalField.FILENAME: record.original_filename},
    )
