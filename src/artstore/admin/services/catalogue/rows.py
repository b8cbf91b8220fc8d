"""Rows of the catalogue: what each says follows from a record and its element alone."""

from collections.abc import Iterable, Sequence
from operator import attrgetter
from typing import Any, Final
from uuid import UUID

import psycopg
from pydantic_core import to_json

from artstore.admin.repository.catalogue_files import Connection, FileRow, add, merge
from artstore.admin.services.catalogue.uploads import Upload, copied_upload, row_of_upload
from artstore.core.catalogue import search_words
from artstore.core.logging import get_logger
from artstore.core.model.file import FileRecord, Scan

SEARCH_BYTES_MAX: Final = 128 * 1024
"""PostgreSQL's search vectors hold 1 MiB, and ours is three in one. Documents are found by
the beginning of what is longer."""
_POISON: Final = (psycopg.DataError, psycopg.errors.ProgramLimitExceeded)
_NUL: Final = "\0"
_NUL_SHOWN: Final = "\ufffd"


def row_of(record: FileRecord, element_id: str, generation: int) -> FileRow:
    return FileRow(
        file_id=UUID(record.file_id),
        element_id=element_id,
        revision=record.revision,
        state="deleted" if record.deleted else "present",
        collection=record.collection,
        original_filename=without_nul(record.original_filename),
        size_bytes=record.size,
        content_type=record.content_type,
        sha256=bytes.fromhex(record.sha256),
        uploaded_at=record.uploaded_at,
        uploaded_by=without_nul(record.uploaded_by.subject),
        tags=[without_nul(tag) for tag in record.tags],
        metadata=metadata_json(record.metadata),
        retain_until=record.retention.retain_until,
        scan=scan_state(record.scan),
        record=record.to_json(),
        search_text=search_text(record),
        generation=generation,
    )


async def write_uploads(
    connection: Connection, uploads: Iterable[Upload], element_id: str, generation: int
) -> None:
    """As `write_rows`, for files that are probably new."""
    ordered = sorted(uploads, key=attrgetter("file_id"))
    try:
        async with connection.transaction():
            rows = (copied_upload(upload, element_id, generation) for upload in ordered)
            await add(connection, rows, ordered)
    except (psycopg.errors.UniqueViolation, *_POISON):
        known = [row_of_upload(upload, element_id, generation) for upload in ordered]
        await write_rows(connection, known)


async def write_rows(connection: Connection, rows: Sequence[FileRow]) -> None:
    """Merge rows in the caller's transaction. One that PostgreSQL will never take must not
    keep all others out: it is found by halving, and written without what is searched."""
    try:
        async with connection.transaction():
            await merge(connection, rows)
    except _POISON as error:
        if len(rows) > 1:
            middle = len(rows) // 2
            await write_rows(connection, rows[:middle])
            await write_rows(connection, rows[middle:])
            return
        file_id = str(rows[0].file_id)
        get_logger().error("file cannot be indexed", file_id=file_id, cause=repr(error))
        await merge(connection, [_plain(rows[0])])


def _plain(row: FileRow) -> FileRow:
    return row._replace(tags=[], metadata=b"{}", search_text="")


def scan_state(scan: Scan | None) -> str | None:
    """As `catalogue.SCAN_STATES` has it."""
    if scan is None:
        return None
    return "pending" if scan.is_pending else scan.verdict


def search_text(record: FileRecord) -> str:
    """Words of the name, the tags and the values in the metadata."""
    parts = [record.original_filename, *record.tags, *_texts(record.metadata)]
    words = search_words(" ".join(parts))
    encoded = words.encode()
    if len(encoded) <= SEARCH_BYTES_MAX:
        return words
    # The cut may fall inside a character, and the last word is only half there.
    return encoded[:SEARCH_BYTES_MAX].decode(errors="ignore").rpartition(" ")[0]


def _texts(value: Any) -> list[str]:
    match value:
        case str():
            return [value]
        case bool() | None:
            return []
        case int() | float():
            return [str(value)]
        case dict():
            return [text for item in value.values() for text in _texts(item)]
        case _:
            return [text for item in value for text in _texts(item)]


def without_nul(text: str) -> str:
    return text.replace(_NUL, _NUL_SHOWN)


def metadata_json(metadata: dict[str, Any]) -> bytes:
    """What `jsonb` takes: no NUL, and `null` for numbers that JSON does not know."""
    data = to_json(metadata, inf_nan_mode="null")
    if b"\\u0000" not in data:
        return data
    return to_json(_tree_without_nul(metadata), inf_nan_mode="null")


def _tree_without_nul(value: Any) -> Any:
    match value:
        case str():
            return without_nul(value)
        case dict():
            return {without_nul(key): _tree_without_nul(item) for key, item in value.items()}
        case list():
            return [_tree_without_nul(item) for item in value]
        case _:
            return value
