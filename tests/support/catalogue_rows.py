"""Rows of the catalogue without the admin module's follower, for tests of what reads them."""

from collections.abc import Iterable
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, insert

from artstore.admin.services.catalogue.rows import scan_state
from artstore.core.catalogue import files, search_words
from artstore.core.model.file import FileRecord


def insert_records(
    connection: Connection,
    records: Iterable[FileRecord],
    *,
    element_id: str,
    state: str = "present",
) -> None:
    rows = [row_of(record, element_id, state) for record in records]
    connection.execute(insert(files), rows)


def row_of(record: FileRecord, element_id: str, state: str) -> dict[str, Any]:
    texts = [record.original_filename, *record.tags, *_strings(record.metadata)]
    return {
        "file_id": UUID(record.file_id),
        "element_id": element_id,
        "revision": record.revision,
        "state": "deleted" if record.deleted else state,
        "collection": record.collection,
        "original_filename": record.original_filename.replace("\0", "\ufffd"),
        "size_bytes": record.size,
        "content_type": record.content_type,
        "sha256": bytes.fromhex(record.sha256),
        "uploaded_at": record.uploaded_at,
        "uploaded_by": record.uploaded_by.subject,
        "tags": [tag.replace("\0", "\ufffd") for tag in record.tags],
        "metadata": record.metadata,
        "retain_until": record.retention.retain_until,
        "scan": scan_state(record.scan),
        "record": record.to_json(),
        "search_text": search_words(" ".join(texts)),
        "generation": 0,
    }


def _strings(value: Any) -> Iterable[str]:
    match value:
        case str():
            yield value
        case dict():
            for key, item in value.items():
                yield key
                yield from _strings(item)
        case list():
            for item in value:
                yield from _strings(item)
