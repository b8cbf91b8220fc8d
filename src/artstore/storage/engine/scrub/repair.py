"""Makes a damaged file whole from bytes that are proven to be the right ones.

Who repairs brings the content (from another copy). It is taken only if it has the size and
digest of the record that lies here; only where that record itself is damaged or lost, a
whole one has to come with it. What was there is set aside, never overwritten.
"""

import contextlib
from collections.abc import Callable
from typing import Final

from artstore.core.errors import DigestMismatch, FileDamaged, FileDeleted, SizeMismatch
from artstore.core.model.file import FileRecord
from artstore.core.model.ids import FileId
from artstore.core.model.scrub import FindingKind
from artstore.storage.engine import sidecar
from artstore.storage.engine.backends.base import Backend, Incoming, Placeable, Promises
from artstore.storage.engine.record import RecordType
from artstore.storage.engine.scrub.aside import Aside
from artstore.storage.engine.scrub.docket import Docket
from artstore.storage.engine.scrub.findings import Finding
from artstore.storage.engine.scrub.inspection import Inspection
from artstore.storage.engine.scrub.ledger import Ledger
from artstore.storage.engine.scrub.round import Element
from artstore.storage.engine.scrub.walk import Group

CAUSE: Final = "record and content were made whole from another copy"


class Repairs:
    """
    Args:
        repaired: Called when the content of a file may have become another.
        fail: Told when the volume fails.
    """

    def __init__(
        self,
        *,
        element: Element,
        backend: Backend,
        docket: Docket,
        ledger: Ledger,
        aside: Aside,
        room: Promises,
        fail: Callable[[str, Exception], None],
        repaired: Callable[[], None],
    ) -> None:
        self._element = element
        self._backend = backend
        self._docket = docket
        self._ledger = ledger
        self._aside = aside
        self._room = room
        self._fail = fail
        self._repaired = repaired
        self._inspection = Inspection(element.shelf, element.layout, lambda size: None)

    def begin(self, file_id: FileId, given: FileRecord | None = None) -> Incoming:
        """Receive the content of a damaged file again, from another copy; ends with
        `finish`, or with `abort` of what is returned. Allowed in every mode.

        Args:
            given: The whole record of the other copy; needed only where that here is
                damaged or lost, and otherwise without effect.

        Raises:
            FileDamaged: The record here is not whole, and none was given.
            FileDeleted, NoRoom, Unavailable.
        """
        self._element.check()
        record = self._record(file_id, given)
        self._room.check(record.size)
        # A name of its own: what lies there now is not overwritten before all is proven.
        name = f"{file_id}.repair"
        return self._backend.begin_upload(file_id, name, record.size, self._room, self._fail)

    def finish(self, incoming: Incoming, given: FileRecord | None = None) -> FileRecord:
        """Put the received content in place of the damaged one, which is kept in the
        quarantine. Durable, and told in the log, on return. A file that is whole already
        stays as it is.

        Raises:
            SizeMismatch, DigestMismatch: This copy is not the file; nothing was changed.
            FileDamaged, FileDeleted, Unavailable.
        """
        try:
            sha256 = incoming.finish()
            with self._element.claims.held(incoming.file_id):
                self._element.check()
                record = self._record(incoming.file_id, given)
                _check(record, incoming.size, sha256)
                if self._is_whole(record):
                    incoming.abort()
                else:
                    self._replace(incoming, record)
                path = self._relative(self._element.layout.content(record))
                self._docket.repaired(record.file_id, path, CAUSE)
        except BaseException:
            incoming.abort()
            raise
        return record

    def _record(self, file_id: FileId, given: FileRecord | None) -> FileRecord:
        """What the file has to be like."""
        present = self._present(file_id)
        known = self._ledger.of_file(file_id)
        is_old = known is not None and known.finding is FindingKind.ATTR_DAMAGED
        if present is not None and not (is_old and given and given.revision > present.revision):
            record = present
        elif given is None or given.file_id != file_id:
            raise FileDamaged("the record of this file is damaged too; a whole one is needed")
        else:
            record = given
        if record.deleted is not None:
            raise FileDeleted("this file was deleted")
        return record

    def _present(self, file_id: FileId) -> FileRecord | None:
        try:
            return sidecar.parse(self._element.shelf.attr(file_id), file_id)
        except (FileNotFoundError, sidecar.AttrDamaged):
            return None

    def _is_whole(self, record: FileRecord) -> bool:
        return self._present(record.file_id) == record and not self._findings(record)

    def _findings(self, record: FileRecord) -> list[Finding]:
        directory, _, name = self._element.layout.attr(record.file_id).rpartition("/")
        return self._inspection.group(Group(directory, [name]))

    def _replace(self, incoming: Incoming, record: FileRecord) -> None:
        """In steps that may be cut anywhere: until the finding is closed, somebody repairs
        it again. The name in tmp/ goes with the next checkpoint."""
        layout = self._element.layout
        content = layout.content(record)
        self._aside.move(record.file_id, self._relative(content))
        if self._present(record.file_id) != record:
            self._keep_attr(record.file_id)
        change = Placeable(
            RecordType.CREATED,
            self._element.head(),
            record,
            record.to_json(),
            None,
            incoming.name,
        )
        self._backend.replay(change)
        self._backend.settle(self._element.file())
        self._repaired()
        if self._findings(record):
            raise FileDamaged("the file is still damaged after its repair")

    def _keep_attr(self, file_id: FileId) -> None:
        with contextlib.suppress(FileNotFoundError):
            name = self._element.layout.attr(file_id).rpartition("/")[2]
            self._aside.keep(file_id, name, self._element.shelf.attr(file_id))

    def _relative(self, path: str) -> str:
        return path.removeprefix(f"{self._element.layout.root}/")


def _check(record: FileRecord, size: int, sha256: str) -> None:
    """A bad copy repairs nothing."""
    if size != record.size:
        raise SizeMismatch(f"the file has {record.size} bytes, this copy {size}")
    if sha256 != record.sha256:
        raise DigestMismatch("this copy has not the digest that the file's record names")
