"""Who the element is and in which mode: element.json, and how a mode changes."""

import threading
from typing import Final

from artstore.core.errors import NoRoom, Unavailable
from artstore.core.model.element import StorageMode
from artstore.core.model.event import TraceId
from artstore.storage.engine import identity, mode_rules
from artstore.storage.engine.backends.base import Backend
from artstore.storage.engine.fs import Fs
from artstore.storage.engine.layout import Layout
from artstore.storage.engine.record import RecordType
from artstore.storage.engine.submission import Submission
from artstore.storage.engine.writer import Writer


class Standing:
    """What element.json says now. Replaced as a whole, so readers need no lock."""

    def __init__(self, fs: Fs, layout: Layout, element: identity.ElementFile) -> None:
        self._fs: Final = fs
        self._layout: Final = layout
        self.element = element

    @property
    def mode(self) -> StorageMode:
        return self.element.mode

    def keep(self, element: identity.ElementFile) -> None:
        """Durable on return. Raises `OSError`."""
        identity.store(self._fs, self._layout, element)
        self.element = element

    def connect(self, backend: Backend, *, is_new: bool) -> None:
        """A store remembers the mode of an element that lost its volume.

        Raises:
            StoreAway, OSError.
        """
        element = backend.connect(self.element, is_new=is_new)
        if element != self.element:
            self.keep(element)


class Modes:
    def __init__(self, standing: Standing, writer: Writer, submission: Submission) -> None:
        self._standing = standing
        self._writer = writer
        self._submission = submission
        self._lock = threading.Lock()

    def change(
        self, mode: StorageMode, *, by: str, reason: str, confirmed: bool, trace: TraceId | None
    ) -> None:
        """Durable on return, and told in the feed. Requests that were accepted before end in
        the old mode. To ask for the present mode changes nothing.

        Raises:
            ModeForbids, ConfirmationRequired: See `mode_rules.check_mode_change`.
            NoRoom: It could not be told, so the mode is the old one.
            Unavailable: The volume failed; the mode may be either after a restart.
        """
        with self._lock:
            former = self._standing.element
            if mode is former.mode:
                return
            self._writer.check()
            mode_rules.check_mode_change(former.mode, mode, confirmed=confirmed)
            change = identity.ModeChange(
                before=former.mode, after=mode, by=by, reason=reason, trace_id=trace
            )
            self._keep(former.model_copy(update={"mode": mode, "untold": change}))
            try:
                self.tell()
            except NoRoom:
                self._keep(former)
                raise

    def tell(self) -> None:
        """A crash before it is told leaves it in element.json: it is told by the next start."""
        change = self._standing.element.untold
        if change is not None:
            self._submission.note(RecordType.MODE, change.detail(), change.trace_id)
            self._keep(self._standing.element.model_copy(update={"untold": None}))

    def _keep(self, element: identity.ElementFile) -> None:
        try:
            self._standing.keep(element)
        except OSError as error:
            self._writer.fail("element.json cannot be written", error)
            raise Unavailable("the volume of the storage element failed") from error
