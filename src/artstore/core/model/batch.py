"""The body of `POST /files:batch`: many small files in one request, one behind the other.

Both sides use this file; the format is fixed in `docs/formats/files-batch.md`.
"""

import struct
from typing import Final, NamedTuple

from artstore.core.errors import InvalidRequest
from artstore.core.model.event import TraceId
from artstore.core.model.file import ATTR_BYTES_MAX, FileDraft
from artstore.core.model.ids import FileId

BATCH_TYPE: Final = "application/vnd.artstore.files"
BATCH_BYTES_MAX: Final = 8 << 20
BATCH_FILES_MAX: Final = 256
"""As many as one flush of the log takes."""

HEAD_BYTES_MAX: Final = 2 * ATTR_BYTES_MAX
"""JSON may spell a text twice as long as the attr.json will."""

_FILE: Final = struct.Struct(">16sII")
FILE_OVERHEAD_BYTES: Final = _FILE.size


class BatchDraft(FileDraft):
    """A file's head. The request has one trace, but each file comes from an upload of its own."""

    trace_id: TraceId | None = None


class BatchFile(NamedTuple):
    """`file_id` has the canonical form; whether it is a UUIDv7 is not checked yet."""

    file_id: str
    head: bytes
    content: bytes


def pack_file(file_id: FileId, draft_json: bytes, trace_id: str | None, content: bytes) -> bytes:
    """One file of the body. `draft_json`: a `FileDraft`."""
    head = draft_json
    if trace_id is not None:
        head = b'{"trace_id":"%b",%b' % (trace_id.encode(), draft_json[1:])
    prefix = _FILE.pack(bytes.fromhex(file_id.replace("-", "")), len(head), len(content))
    return b"".join((prefix, head, content))


def split_batch(body: bytes) -> list[BatchFile]:
    """The files in `body`, in order: at least one. Their heads are not read yet.

    Raises:
        InvalidRequest: It is no batch. Then none of its files may be stored: where one ends
            too early, the borders of all are in doubt.
    """
    files: list[BatchFile] = []
    start = 0
    while start < len(body):
        if len(files) == BATCH_FILES_MAX:
            raise _malformed(f"a batch may have {BATCH_FILES_MAX} files")
        if start + _FILE.size > len(body):
            raise _malformed("the batch ends within the prefix of a file")
        file_id, head_length, content_length = _FILE.unpack_from(body, start)
        if head_length > HEAD_BYTES_MAX:
            raise _malformed("the head of a file is too long")
        middle = start + _FILE.size + head_length
        end = middle + content_length
        if end > len(body):
            raise _malformed("the batch ends within a file")
        files.append(
            BatchFile(_canonical(file_id), body[start + _FILE.size : middle], body[middle:end])
        )
        start = end
    if not files:
        raise _malformed("a batch has at least one file")
    return files


def _canonical(file_id: bytes) -> str:
    digits = file_id.hex()
    return f"{digits[:8]}-{digits[8:12]}-{digits[12:16]}-{digits[16:20]}-{digits[20:]}"


def _malformed(detail: str) -> InvalidRequest:
    return InvalidRequest(detail, field="body")
