"""Which files are being worked on now: one operation at a time for each."""

import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from enum import Enum, auto

from artstore.core.errors import FileBusy, Unavailable
from artstore.core.model.ids import FileId

WAIT_S = 30.0
"""Longer than any change of a record takes on a disk that works."""


class _Hold(Enum):
    CHANGING = auto()
    NEW = auto()
    """Nobody was told that it is stored, so nobody sees it."""
    LOGGED = auto()
    """Acknowledged; whoever asks for it waits the moment until it is in place."""
    STRANDED = auto()
    """Acknowledged, and the volume failed or was full before it was in place."""


class Claims:
    """Bounded by the number of running requests, and by what is logged and not yet in place."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._held: dict[FileId, _Hold] = {}
        self._repeated: dict[FileId, list[Callable[[], None]]] = {}

    def take_new(self, file_id: FileId, again: Callable[[], None]) -> bool:
        """For a file that is being created: readers must not see it yet.

        Returns:
            False if it is acknowledged, so this is the same again: `again` is called, in some
            thread, when it is in place.

        Raises:
            FileBusy: Somebody works on it, most likely an earlier attempt of the caller.
        """
        with self._changed:
            if self._held.get(file_id) is _Hold.LOGGED:
                self._repeated.setdefault(file_id, []).append(again)
                return False
            self._take_new(file_id)
            return True

    def take_new_in_turn(self, file_id: FileId) -> None:
        """As `take_new`; waits if it is acknowledged."""
        with self._changed:
            self._wait(lambda: self._held.get(file_id) is not _Hold.LOGGED)
            self._take_new(file_id)

    def logged(self, file_ids: Iterable[FileId]) -> None:
        """New files that are durable: they are seen from now on."""
        with self._changed:
            for file_id in file_ids:
                self._held[file_id] = _Hold.LOGGED
            self._changed.notify_all()

    def strand(self, file_ids: Iterable[FileId]) -> None:
        """Those of them that are acknowledged cannot be put in place: who waits is told so."""
        with self._changed:
            for file_id in file_ids:
                if self._held.get(file_id) is _Hold.LOGGED:
                    self._held[file_id] = _Hold.STRANDED
            self._changed.notify_all()
            repeated = self._take_repeated()
        for again in repeated:
            again()

    def release(self, file_id: FileId) -> None:
        self.release_all((file_id,))

    def release_all(self, file_ids: Iterable[FileId]) -> None:
        with self._changed:
            for file_id in file_ids:
                self._held.pop(file_id, None)
            self._changed.notify_all()
            repeated = self._take_repeated()
        for again in repeated:
            again()

    def hides(self, file_id: FileId) -> bool:
        """Whether readers must not see it. If it is acknowledged, it is in place on return.

        Raises:
            Unavailable: It is acknowledged and cannot be read now.
        """
        hold = self._held.get(file_id)
        if hold is _Hold.LOGGED or hold is _Hold.STRANDED:
            self.wait_until_free(file_id)
        return hold is _Hold.NEW

    def take(self, file_id: FileId) -> None:
        """For a change of an existing file; waits for its turn.

        Raises:
            Unavailable: The other operation takes too long.
        """
        with self._changed:
            self._wait_until_free(file_id)
            self._held[file_id] = _Hold.CHANGING

    def wait_until_free(self, file_id: FileId) -> None:
        with self._changed:
            self._wait_until_free(file_id)

    def wait_for_logged(self) -> None:
        """All that was acknowledged before the call is in place, unless the volume failed.

        Raises:
            Unavailable: That takes too long.
        """
        with self._changed:
            logged = {each for each, hold in self._held.items() if hold is _Hold.LOGGED}
            self._wait(lambda: not any(self._held.get(each) is _Hold.LOGGED for each in logged))

    @contextmanager
    def held(self, file_id: FileId) -> Iterator[None]:
        self.take(file_id)
        try:
            yield
        finally:
            self.release(file_id)

    def _take_new(self, file_id: FileId) -> None:
        if file_id in self._held:
            raise FileBusy("this file is being written", retry_after_s=1)
        self._held[file_id] = _Hold.NEW

    def _take_repeated(self) -> list[Callable[[], None]]:
        ended = [each for each in self._repeated if self._held.get(each) is not _Hold.LOGGED]
        return [again for file_id in ended for again in self._repeated.pop(file_id)]

    def _wait_until_free(self, file_id: FileId) -> None:
        def is_decided() -> bool:
            return self._held.get(file_id) in (None, _Hold.STRANDED)

        self._wait(is_decided)
        if file_id in self._held:
            raise Unavailable("this file is stored, and can be read when the element is well again")

    def _wait(self, condition: Callable[[], bool]) -> None:
        if not self._changed.wait_for(condition, WAIT_S):
            raise Unavailable("this file is being changed", retry_after_s=1)
