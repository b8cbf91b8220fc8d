"""Judges one file: its record, its bytes, and that they belong together.

Takes no lock and changes nothing. What it finds may be a change on its way: whoever calls
looks a second time, when nothing changes, before believing it.
"""

import hashlib
from typing import Final

from pydantic import ValidationError

from artstore.core.errors import FileDamaged, InvalidRequest
from artstore.core.model.file import FileRecord
from artstore.core.model.ids import FileId
from artstore.core.model.scrub import FindingKind
from artstore.storage.engine import sidecar
from artstore.storage.engine.backends.base import OpenContent
from artstore.storage.engine.layout import ATTR_SUFFIX, Layout
from artstore.storage.engine.scrub.findings import Finding, Known, Spend, as_text
from artstore.storage.engine.scrub.shelf import Shelf
from artstore.storage.engine.scrub.walk import Group

CHUNK_BYTES: Final = 1 << 20


class Inspection:
    """Args:
    content_expected: False for an element whose bytes may lie in an archive.
    """

    def __init__(
        self, shelf: Shelf, layout: Layout, spend: Spend, *, content_expected: bool = True
    ) -> None:
        self._shelf = shelf
        self._layout = layout
        self._spend = spend
        self._content_expected = content_expected

    def group(self, group: Group, *, contents: bool = True) -> list[Finding]:
        """What is wrong with the names of a group; nothing for those that are gone.

        Args:
            contents: False: a content that ought to be there is not looked at.
        """
        file_id = group.file_id
        if file_id is None or not self._is_at_home(file_id, group.directory):
            return self._surplus(group, group.names, None, "this name belongs nowhere")
        attr_name = file_id + ATTR_SUFFIX
        try:
            data = self._shelf.attr(file_id)
        except FileNotFoundError:
            return self._surplus(group, group.names, file_id, "no attr.json lies beside it")
        except OSError as error:
            return [self._of_attr(file_id, FindingKind.UNREADABLE, _reason(error))]
        self._spend(len(data))
        record = self._record(file_id, data)
        if isinstance(record, Finding):
            return [record]
        content_name = self._layout.content(record).rpartition("/")[2]
        others = [name for name in group.names if name not in (attr_name, content_name)]
        found = self._surplus(group, others, file_id, "its record does not know it")
        if record.deleted is not None:
            return found + self._left_of(record)
        return found + (self._content(record) if contents else [])

    def known(self, known: Known) -> Finding | None:
        """Is there what the log says? Records and contents are judged by `group`."""
        file_id = known.file_id
        if known.revision == 1:
            found = self._shelf.has_record(file_id)
        else:
            try:
                record = self._record(file_id, self._shelf.attr(file_id))
            except FileNotFoundError:
                found = False
            except OSError:
                return None
            else:
                return self._older(record, known) if isinstance(record, FileRecord) else None
        if found:
            return None
        cause = "the log knows this file, and its attr.json is not there"
        return self._of_attr(file_id, FindingKind.MISSING_CONTENT, cause)

    def _older(self, record: FileRecord, known: Known) -> Finding | None:
        if record.revision >= known.revision:
            return None
        cause = f"the attr.json has revision {record.revision}, the log says {known.revision}"
        return self._of_attr(known.file_id, FindingKind.ATTR_DAMAGED, cause)

    def _record(self, file_id: FileId, data: bytes) -> FileRecord | Finding:
        try:
            record = FileRecord.from_json(sidecar.unseal(data))
        except sidecar.AttrDamaged:
            cause = "the attr.json does not match its seal"
        except ValidationError:
            cause = "the attr.json is sealed, but no valid record"
        else:
            if record.file_id == file_id:
                return record
            cause = f"this is the attr.json of the file {record.file_id}"
            return self._of_attr(file_id, FindingKind.WRONG_ATTR, cause)
        return self._of_attr(file_id, FindingKind.ATTR_DAMAGED, cause)

    def _is_at_home(self, file_id: FileId, directory: str) -> bool:
        try:
            return directory == self._layout.directory(file_id)
        except InvalidRequest:
            return False

    def _left_of(self, tombstone: FileRecord) -> list[Finding]:
        group = Group(*_split(self._layout.content(tombstone)))
        cause = "the file was deleted, but its content is still there"
        return self._surplus(group, group.names, tombstone.file_id, cause)

    def _content(self, record: FileRecord) -> list[Finding]:
        path = self._layout.content(record)
        try:
            content = self._shelf.open(record)
        except FileNotFoundError:
            if not self._content_expected:
                return []
            kind, cause = FindingKind.MISSING_CONTENT, "there is no content beside the record"
        except OSError as error:
            kind, cause = FindingKind.UNREADABLE, _reason(error)
        else:
            try:
                damage = self._damage(record, content)
            except OSError as error:
                kind, cause = FindingKind.UNREADABLE, _reason(error)
            except FileDamaged as error:
                kind, cause = FindingKind.DAMAGED, error.detail
            else:
                if damage is None:
                    return []
                kind, cause = FindingKind.DAMAGED, damage
            finally:
                content.close()
        return [Finding(kind, record.file_id, self._relative(path), cause)]

    def _damage(self, record: FileRecord, content: OpenContent) -> str | None:
        if content.size != record.size:
            return f"the content has {content.size} bytes instead of {record.size}"
        if digest_of(content, self._spend) != record.sha256:
            return "the content does not match its digest"
        return None

    def _surplus(
        self, group: Group, names: list[str], file_id: FileId | None, cause: str
    ) -> list[Finding]:
        paths = [f"{group.directory}/{name}" for name in names]
        return [
            Finding(FindingKind.SURPLUS, file_id, self._relative(path), cause)
            for path in paths
            if self._shelf.has(path)
        ]

    def _of_attr(self, file_id: FileId, kind: FindingKind, cause: str) -> Finding:
        return Finding(kind, file_id, self._relative(self._layout.attr(file_id)), cause)

    def _relative(self, path: str) -> str:
        return as_text(path.removeprefix(f"{self._layout.root}/"))


def digest_of(content: OpenContent, spend: Spend) -> str:
    """SHA-256 of everything that is there, in hex."""
    digest = hashlib.sha256()
    offset = 0
    while offset < content.size:
        spend(min(CHUNK_BYTES, content.size - offset))
        data = content.read(CHUNK_BYTES, offset)
        if not data:
            break
        digest.update(data)
        offset += len(data)
    return digest.hexdigest()


def _split(path: str) -> tuple[str, list[str]]:
    directory, _, name = path.rpartition("/")
    return directory, [name]


def _reason(error: OSError) -> str:
    return f"it cannot be read: {error.strerror or error}"
