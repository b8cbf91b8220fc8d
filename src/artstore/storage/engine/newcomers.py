"""Which ids cannot have a file yet, known without asking the disk for each of them.

The directory of an hour that is not there holds nothing. Whatever is put into it from then on is
noted here, since nobody but the process that holds the element's lock puts anything there; so an
id that was not noted has no file. Notes are bits of a Bloom filter: its memory is the same for any
number of files, and where it errs, the disk is asked for nothing.
"""

import threading
from collections.abc import Iterable, Sequence
from typing import Final

from artstore.core.model.ids import FileId
from artstore.storage.engine.fs import Fs
from artstore.storage.engine.layout import Layout

FILTER_BITS: Final = 1 << 24
"""2 MiB an hour. Of a million files in one hour, one in 80 is asked for in vain."""

_DIGITS: Final = 12
"""Hexadecimal, for the places of two bits. The end of an id is random."""

HOURS_MAX: Final = 8
"""Clocks differ, and another element's files come with ids of their own time."""


class Newcomers:
    """Any thread. Whoever puts a file in place holds its claim until it is noted."""

    def __init__(self, fs: Fs, layout: Layout) -> None:
        self._fs = fs
        self._layout = layout
        self._lock = threading.Lock()
        self._hours: dict[str, bytearray | None] = {}
        """By directory; `None` where something may be that was not noted."""

    def doubtful(self, file_ids: Sequence[FileId]) -> list[FileId]:
        """Those that may have a file. The others have none."""
        with self._lock:
            return [file_id for file_id in file_ids if not self._is_new(file_id)]

    def note(self, file_ids: Iterable[FileId]) -> None:
        """They have a file, or a part of one."""
        with self._lock:
            for file_id in file_ids:
                bits = self._hours.get(self._layout.directory(file_id))
                if bits is not None:
                    for place in _places(file_id):
                        bits[place >> 3] |= 1 << (place & 7)

    def _is_new(self, file_id: FileId) -> bool:
        directory = self._layout.directory(file_id)
        if directory not in self._hours:
            self._begin(directory)
        bits = self._hours[directory]
        if bits is None:
            return False
        one, other = _places(file_id)
        is_noted = bits[one >> 3] >> (one & 7) & bits[other >> 3] >> (other & 7) & 1
        return not is_noted

    def _begin(self, directory: str) -> None:
        if len(self._hours) == HOURS_MAX:
            del self._hours[next(iter(self._hours))]
        try:
            is_there = self._fs.exists(directory)
        except OSError:
            is_there = True
        self._hours[directory] = None if is_there else bytearray(FILTER_BITS // 8)


def _places(file_id: FileId) -> tuple[int, int]:
    """Of its bits in the filter."""
    end = int(file_id[-_DIGITS:], 16)
    return end % FILTER_BITS, end // FILTER_BITS
