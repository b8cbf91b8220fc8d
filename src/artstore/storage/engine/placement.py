"""Puts into place what the log holds: content and attr.json, or a tombstone instead.

The record is durable before anything here runs, so nothing here is flushed: a checkpoint
does that for all files at once, and until then recovery can do it again. Everything is
therefore idempotent, and `replay` may find any state a crash can leave.

Only the writer thread (or recovery, before there is one) calls this.
"""

import contextlib
from typing import Final

from artstore.core.logging import get_logger
from artstore.core.model.file import FileRecord
from artstore.storage.engine import sidecar
from artstore.storage.engine.backends.base import Placeable
from artstore.storage.engine.fs import Fs, make_directories, read_file
from artstore.storage.engine.layout import Layout
from artstore.storage.engine.placer import NewFile, put_new
from artstore.storage.engine.record import RecordType
from artstore.storage.engine.whole import is_whole

VERIFY_BYTES_MAX: Final = 1 << 28
"""Recovery reads staged files up to this size again. Larger ones were flushed before their
record was written; their size is looked at, the scrub does the rest, and a start stays short."""


class Placement:
    def __init__(self, fs: Fs, layout: Layout) -> None:
        self._fs = fs
        self._layout = layout
        self._staged: list[tuple[int, str]] = []

    def new_file(self, change: Placeable) -> NewFile | None:
        """What a placer has to make for the creation of a small file."""
        if change.type is not RecordType.CREATED or change.content is None:
            return None
        path, attr_path = self._layout.places(change.record)
        return NewFile(path, change.content, attr_path, sidecar.seal(change.record_json))

    def replay(self, change: Placeable, *, verify: bool = True) -> None:
        """Bring the file into the state after `change`, whatever is there now.

        Args:
            verify: Believe nothing that is there already.

        Raises:
            OSError: It may be half in place; again, please.
        """
        match change.type:
            case RecordType.CREATED:
                make_directories(self._fs, self._layout.directory(change.record.file_id))
                if change.content is not None:
                    self._settle_content(self._layout.content(change.record), change.content)
                else:
                    self._settle_staged(change, verify=verify)
                self._settle_attr(change)
            case RecordType.UPDATED:
                self._rename_content(change, verify=verify)
                self._settle_attr(change)
            case RecordType.DELETED:
                # The tombstone first: content without it would look like damage.
                make_directories(self._fs, self._layout.directory(change.record.file_id))
                self._settle_attr(change)
                self._remove(self._layout.content(change.record))
                if change.present_name is not None:
                    directory = self._layout.directory(change.record.file_id)
                    self._remove(f"{directory}/{change.present_name}")
            case RecordType.CHECKPOINT:
                pass

    def drop_staged(self, covered: int) -> None:
        """A checkpoint made everything up to `covered` durable in its place: the names in
        tmp/, kept until now so that no crash could lose both, may go."""
        staged, self._staged = self._staged, []
        for entry in staged:
            if entry[0] <= covered:
                self._remove(entry[1])
            else:
                self._staged.append(entry)

    def _settle(self, path: str, data: bytes) -> None:
        if self._found(path) != data:
            self._replace(path, data)

    def _settle_content(self, path: str, content: bytes) -> None:
        found = self._found(path)
        if found == content:
            return
        if found is not None and not is_part_of(found, content):
            self._set_aside(path)
        self._replace(path, content)

    def _found(self, path: str) -> bytes | None:
        try:
            return read_file(self._fs, path, from_disk=True)
        except FileNotFoundError:
            return None

    def _settle_attr(self, change: Placeable) -> None:
        self._settle(self._layout.attr(change.record.file_id), sidecar.seal(change.record_json))

    def _replace(self, path: str, data: bytes) -> None:
        neighbour = f"{self._layout.staging}/{path.rpartition('/')[2]}.new"
        self._remove(neighbour)
        put_new(self._fs, neighbour, data)
        self._fs.rename(neighbour, path)

    def _settle_staged(self, change: Placeable, *, verify: bool) -> None:
        """Link a large file from tmp/ to its place. A link never replaces anything, and
        with both names no order in which a crash keeps them loses the file."""
        path = self._layout.content(change.record)
        assert change.present_name is not None
        staged = self._layout.staged(change.present_name)
        self._staged.append((change.sequence, staged))
        taken = self._fs.exists(path)
        if taken and verify and self._is_whole(path, change.record):
            return
        if not self._fs.exists(staged) or (verify and not self._is_whole(staged, change.record)):
            # Deleted again by a later record, or lost by the disk: then reading says so.
            get_logger().warning("logged content is gone", file_id=change.record.file_id)
            return
        if taken:
            self._set_aside(path)
        self._fs.link(staged, path)

    def _is_whole(self, path: str, record: FileRecord) -> bool:
        return is_whole(self._fs, path, record, VERIFY_BYTES_MAX)

    def _rename_content(self, change: Placeable, *, verify: bool) -> None:
        """A new name may have a new extension; the content follows it."""
        if change.present_name is None:
            return
        path = self._layout.content(change.record)
        directory = self._layout.directory(change.record.file_id)
        former = f"{directory}/{change.present_name}"
        if not self._fs.exists(former):
            return
        if not verify and self._fs.exists(path):
            self._set_aside(path)
        # In a replay, `path` may hold what this very step left before the crash; `former`
        # was put there again by the replay and is known to be good.
        self._fs.rename(former, path)

    def _set_aside(self, path: str) -> None:
        """Bytes nobody has a record of lie where a new file belongs. They are kept."""
        get_logger().warning("unknown file set aside", name=path.rpartition("/")[2])
        self._fs.rename(path, f"{path}.surplus")

    def _remove(self, path: str) -> None:
        with contextlib.suppress(FileNotFoundError):
            self._fs.unlink(path)


def is_part_of(found: bytes, content: bytes) -> bool:
    """Can `found` be what a crash left of `content`: parts of it, and zeros?"""
    pairs = zip(found, content, strict=False)
    return len(found) <= len(content) and all(a in (0, b) for a, b in pairs)
