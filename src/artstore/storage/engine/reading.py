"""Reading files: records, listings, and the bytes of one that is open (`contents` opens it).
Nothing here takes a lock while it reads; what is acknowledged and on its way to its place is
waited for."""

import hashlib
from typing import Final

from artstore.core.errors import FileDamaged, FileDeleted, FileExists, UnknownFile
from artstore.core.logging import get_logger
from artstore.core.model.file import FileRecord
from artstore.core.model.ids import FileId
from artstore.storage.engine import sidecar
from artstore.storage.engine.backends.base import Backend, OpenContent
from artstore.storage.engine.claims import Claims
from artstore.storage.engine.entries import Stored

PAGE_BYTES_MAX: Final = 8 << 20


class Content:
    """An open file: its record and its bytes. Close it. One thread at a time."""

    def __init__(self, opened: OpenContent, record: FileRecord) -> None:
        self._opened = opened
        self.record = record

    def read(self, size: int, offset: int) -> bytes:
        """Raises:
        FileDamaged: The file became shorter.
        """
        data = self._opened.read(size, offset)
        wanted = min(size, self.record.size - offset)
        while len(data) < wanted:
            more = self._opened.read(wanted - len(data), offset + len(data))
            if not more:
                raise FileDamaged("the stored content is too short")
            data += more
        return data

    def whole(self) -> bytes:
        """Of a small file: all of it, checked.

        Raises:
            FileDamaged: Its digest is not the recorded one.
        """
        data = self.read(self.record.size, 0)
        if hashlib.sha256(data).hexdigest() != self.record.sha256:
            raise FileDamaged("the stored content does not match its digest")
        return data

    def close(self) -> None:
        self._opened.close()


class Reading:
    def __init__(self, backend: Backend, claims: Claims) -> None:
        self._backend = backend
        self._claims = claims

    def record(self, file_id: FileId) -> FileRecord:
        """Raises:
        UnknownFile: There is none, or it is being created.
        FileDamaged: Its attr.json is not what was written.
        """
        data = self._attr(file_id)
        if data is None:
            raise UnknownFile("there is no file with this id")
        return sidecar.parse(data, file_id)

    def find(self, file_id: FileId) -> FileRecord | None:
        """For the writer, which has to see its own unfinished files too."""
        try:
            data = self._backend.attr(file_id)
        except FileNotFoundError:
            return None
        return sidecar.parse(data, file_id)

    def known(self, file_id: FileId, size: int | None, sha256: str | None) -> Stored | None:
        """The file of this id, if it is there and is the same as far as the caller knows.

        Raises:
            FileExists, FileDeleted, FileDamaged: It is there and is not.
        """
        found = self.find(file_id)
        if found is None:
            return None
        if found.deleted is not None:
            raise FileDeleted("a file with this id was deleted")
        if size not in (None, found.size) or sha256 not in (None, found.sha256):
            raise FileExists("this file id is taken by other content")
        if sha256 is None:
            return None
        return Stored(found, found.to_json(), created=False)

    def files(self, after: FileId | None, limit: int) -> list[bytes]:
        """Records (JSON lines) behind the id `after` in the order of ids, tombstones too.

        None is left means the end. A damaged record is left out and logged: the catalogue
        then shows the file as missing, which is an alarm and never a deletion.
        """
        lines: list[bytes] = []
        size = 0
        self._claims.wait_for_logged()
        ids = self._backend.ids_after(after or FileId(""))
        for line in self._backend.each(self._line, ids):
            if line is None:
                continue
            lines.append(line)
            size += len(line)
            if len(lines) >= limit or size >= PAGE_BYTES_MAX:
                break
        return lines

    def _line(self, file_id: FileId) -> bytes | None:
        try:
            data = self._attr(file_id)
            return sidecar.unseal(data) if data is not None else None
        except FileDamaged as error:
            get_logger().error("record left out of a listing", file_id=file_id, cause=str(error))
            return None

    def _attr(self, file_id: FileId) -> bytes | None:
        """The sealed attr.json of a file that readers may see."""
        for attempt in range(2):
            if self._claims.hides(file_id):
                return None
            try:
                data = self._backend.attr(file_id)
                sidecar.unseal(data)
            except FileNotFoundError:
                return None
            except sidecar.AttrDamaged:
                # It may have begun to exist between the two lines above.
                if attempt:
                    raise
            else:
                return data
        return None
