"""Which files are being worked on now: one operation at a time for each."""

import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from artstore.core.errors import FileBusy, Unavailable
from artstore.core.model.ids import FileId

WAIT_S = 30.0
"""Longer than any change of a record takes on a disk that works."""


class Claims:
    """Bounded by the number of running requests."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._held: dict[FileId, bool] = {}

    def take_new(self, file_id: FileId) -> None:
        """For a file that is being created: readers must not see it yet.

        Raises:
            FileBusy: Somebody works on it, most likely an earlier attempt of the caller.
        """
        with self._changed:
            if file_id in self._held:
                raise FileBusy("this file is being written", retry_after_s=1)
            self._held[file_id] = True

    def release(self, file_id: FileId) -> None:
        self.release_all((file_id,))

    def release_all(self, file_ids: Iterable[FileId]) -> None:
        with self._changed:
            for file_id in file_ids:
                self._held.pop(file_id, None)
            self._changed.notify_all()

    def hides(self, file_id: FileId) -> bool:
        return self._held.get(file_id, False)

    def take(self, file_id: FileId) -> None:
        """For a change of an existing file; waits for its turn.

        Raises:
            Unavailable: The other operation takes too long.
        """
        with self._changed:
            self._wait_until_free(file_id)
            self._held[file_id] = False

    def wait_until_free(self, file_id: FileId) -> None:
        with self._changed:
            self._wait_until_free(file_id)

    @contextmanager
    def held(self, file_id: FileId) -> Iterator[None]:
        self.take(file_id)
        try:
            yield
        finally:
            self.release(file_id)

    def _wait_until_free(self, file_id: FileId) -> None:
        if not self._changed.wait_for(lambda: file_id not in self._held, WAIT_S):
            raise Unavailable("this file is being changed", retry_after_s=1)
