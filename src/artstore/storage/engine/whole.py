"""Is a content that lies somewhere the one of its record?"""

import hashlib
from typing import Final

from artstore.core.model.file import FileRecord
from artstore.storage.engine.fs import Fs

_CHUNK_BYTES: Final = 1 << 20


def is_whole(fs: Fs, path: str, record: FileRecord, hashed_bytes_max: int | None = None) -> bool:
    """As the disk has it, not the page cache.

    Args:
        hashed_bytes_max: Of larger ones the size is enough.

    Raises:
        FileNotFoundError, OSError.
    """
    handle = fs.open(path)
    try:
        fs.forget(handle)
        if fs.size(handle) != record.size:
            return False
        if hashed_bytes_max is not None and record.size > hashed_bytes_max:
            return True
        digest = hashlib.sha256()
        for offset in range(0, record.size, _CHUNK_BYTES):
            digest.update(fs.read(handle, _CHUNK_BYTES, offset))
        return digest.hexdigest() == record.sha256
    finally:
        fs.close(handle)
