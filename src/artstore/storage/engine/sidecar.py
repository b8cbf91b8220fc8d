"""attr.json as it lies on the disk: the record, sealed with a digest of itself.

The seal is the last member of the document: `"record_sha256"`, the SHA-256 of every byte
before the comma in front of it. So a changed bit is found even where the document would
still be valid JSON, with nothing but `sha256sum`.
"""

import hashlib
from typing import Final

from pydantic import ValidationError

from artstore.core.errors import FileDamaged
from artstore.core.model.file import FileRecord
from artstore.core.model.ids import FileId

_SEAL_KEY: Final = b',"record_sha256":"'
_SEAL_END: Final = b'"}\n'
_SEAL_LENGTH: Final = len(_SEAL_KEY) + 64 + len(_SEAL_END)


class AttrDamaged(FileDamaged):
    """The attr.json is not what was written. Its content is not to be believed."""


def seal(record_json: bytes) -> bytes:
    """Args: `record_json`: what `FileRecord.to_json` gives, one object and a newline."""
    body = record_json[:-2]
    digest = hashlib.sha256(body).hexdigest().encode()
    return b"".join((body, _SEAL_KEY, digest, _SEAL_END))


def unseal(data: bytes) -> bytes:
    """The record without the seal.

    Raises:
        AttrDamaged: The seal is missing or does not match.
    """
    body = data[:-_SEAL_LENGTH]
    if not body or seal(body + b"}\n") != data:
        raise AttrDamaged("the record of this file is damaged")
    return body + b"}\n"


def parse(data: bytes, file_id: FileId) -> FileRecord:
    """The record in a sealed attr.json.

    Raises:
        AttrDamaged: It is damaged, or belongs to another file.
    """
    try:
        record = FileRecord.from_json(unseal(data))
    except ValidationError as error:
        raise AttrDamaged("the record of this file is not valid") from error
    if record.file_id != file_id:
        raise AttrDamaged("the record of this file belongs to another")
    return record
