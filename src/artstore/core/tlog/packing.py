"""Full entry bundles are text and the largest part of a log; they are kept compressed.

As c2sp.org/tlog-tiles lets a log serve them: with `Content-Encoding: gzip`. Hashes do not get
smaller.
"""

import gzip
import zlib
from typing import Final

from artstore.core.tlog.errors import DamagedLog

SUFFIX: Final = ".gz"
"""Of the file, where a store has no place for an encoding beside the name."""

ENTRIES: Final = "tile/entries"
_LEVEL: Final = 1
"""A third of the size for 5 us an entry; the next tenth would cost as much again."""


def is_packed(path: str) -> bool:
    """Of those that never change again: a partial bundle lives for seconds."""
    return path.startswith(f"{ENTRIES}/") and ".p/" not in path


def pack(data: bytes) -> bytes:
    return gzip.compress(data, _LEVEL, mtime=0)


def unpack(path: str, data: bytes) -> bytes:
    """Raises `DamagedLog`."""
    try:
        return gzip.decompress(data)
    except (OSError, EOFError, zlib.error):
        raise DamagedLog(f"{path} cannot be unpacked") from None
