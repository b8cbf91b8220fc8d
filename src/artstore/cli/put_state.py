"""What `artstore put` remembers of a tree, so that it can go on after a kill.

One file per tree and settings: JSON lines that are only appended to. A file's line with an
Idempotency-Key is on disk before its upload begins; its line with the id follows when the
archive has it. Between the two, the same key makes the archive store it once.
"""

import errno
import fcntl
import hashlib
import json
import os
import threading
from collections.abc import Callable
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Final, TypeAlias

from artstore.cli.trees import Entry
from artstore.client.settings import Profile
from artstore.client.uploads import Details
from artstore.core.model.ids import FileId, file_id_time

VERSION: Final = 1
KEY_LIFETIME: Final = timedelta(hours=23)
"""The archive takes a key for a day."""

Identity: TypeAlias = tuple[int, int, int]
"""Size in bytes, time of the last change in ns, inode."""


@dataclass(frozen=True, slots=True)
class Known:
    identity: Identity
    key: str | None = None
    """Of an upload that was begun."""
    file_id: str | None = None
    """Of one that has ended."""
    upload_url: str | None = None
    """Of one in parts."""


class TreeState:
    """Of one tree; only one process has it at a time. May be used by several threads."""

    def __init__(self, path: Path, head: dict[str, Any], *, afresh: bool) -> None:
        """Raises `OSError`: it cannot be kept, or another process has it."""
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        flags = os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC | os.O_NOFOLLOW
        self._descriptor = os.open(path, flags, 0o600)
        self._lock = threading.Lock()
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(self._descriptor)
            reason = "another `artstore put` is storing it: wait for its end"
            raise OSError(errno.EBUSY, reason, head["root"]) from None
        if afresh:
            os.ftruncate(self._descriptor, 0)
        self._known = read_known(path)
        self._end_torn_line(head)

    def close(self) -> None:
        os.close(self._descriptor)

    def known(self, entry: Entry) -> Known | None:
        """What an earlier run noted of it, if it was not changed since."""
        known = self._known.get(entry.in_root)
        return known if known is not None and known.identity == identity_of(entry) else None

    def begin(self, entry: Entry, key: str) -> None:
        self._note(entry, Known(identity_of(entry), key=key), key=key)

    def stored(self, entry: Entry, file_id: str) -> None:
        self._note(entry, Known(identity_of(entry), file_id=file_id), file_id=file_id)

    def flush(self) -> None:
        os.fdatasync(self._descriptor)

    def in_parts(self, entry: Entry, key: str, url: str) -> None:
        known = Known(identity_of(entry), key=key, upload_url=url)
        self._note(entry, known, key=key, upload_url=url)

    def _note(self, entry: Entry, known: Known, **more: str) -> None:
        size_bytes, mtime_ns, inode = known.identity
        line = {"path": entry.in_root, "size": size_bytes, "mtime_ns": mtime_ns, "inode": inode}
        with self._lock:
            self._append({**line, **more})
            self._known[entry.in_root] = known

    def _append(self, line: dict[str, Any]) -> None:
        left = json.dumps(line).encode() + b"\n"
        while left:
            left = left[os.write(self._descriptor, left) :]

    def _end_torn_line(self, head: dict[str, Any]) -> None:
        size_bytes = os.fstat(self._descriptor).st_size
        if size_bytes == 0:
            self._append({"version": VERSION, **head})
        elif os.pread(self._descriptor, 1, size_bytes - 1) != b"\n":
            os.write(self._descriptor, b"\n")


def identity_of(entry: Entry) -> Identity:
    return entry.size_bytes, entry.mtime_ns, entry.inode


def read_known(path: Path) -> dict[str, Known]:
    """By path; a line that a crash tore off says nothing."""
    known: dict[str, Known] = {}
    try:
        with path.open("rb") as file:
            for line in file:
                try:
                    found = json.loads(line)
                    identity = (found["size"], found["mtime_ns"], found["inode"])
                    more = (found.get(name) for name in ("key", "file_id", "upload_url"))
                    known[found["path"]] = Known(identity, *more)
                except (ValueError, KeyError, TypeError):
                    continue  # the first line, or a torn one
    except FileNotFoundError:
        pass
    return known


class States:
    """Of all trees of one command, opened as they are met."""

    def __init__(
        self, profile: Profile, details: Details, *, afresh: bool = False, read_only: bool = False
    ) -> None:
        self._folder = state_folder()
        self._settings = _settings_of(profile, details)
        self._afresh = afresh
        self._read_only = read_only
        self._trees: dict[tuple[str, bool], TreeState] = {}
        self._read: dict[tuple[str, bool], dict[str, Known]] = {}

    def close(self) -> None:
        for tree in self._trees.values():
            tree.close()

    def stored_id(self, entry: Entry) -> str | None:
        """The id of a file that is stored and was not changed since."""
        known = self._known(entry)
        return known.file_id if known is not None else None

    def begin(self, entry: Entry, now: datetime, new_key: Callable[[], str]) -> "Begun":
        """The key to send it with. On disk after `flush`."""
        tree = self._tree(entry)
        known = tree.known(entry)
        if known is not None and known.key is not None:
            if now - file_id_time(FileId(known.key)) < KEY_LIFETIME:
                return Begun(known.key, may_be_stored=False, upload_url=known.upload_url)
            # The archive may have it, and would not recognise the key any more.
            return Begun(new_key(), may_be_stored=True, upload_url=known.upload_url)
        return self.begin_anew(entry, new_key())

    def begin_anew(self, entry: Entry, key: str) -> "Begun":
        self._tree(entry).begin(entry, key)
        return Begun(key, may_be_stored=False)

    def in_parts(self, entry: Entry, key: str, url: str) -> None:
        self._tree(entry).in_parts(entry, key, url)

    def stored(self, entry: Entry, file_id: str) -> None:
        self._tree(entry).stored(entry, file_id)

    def flush(self) -> None:
        for tree in list(self._trees.values()):
            tree.flush()

    def _known(self, entry: Entry) -> Known | None:
        if not self._read_only:
            return self._tree(entry).known(entry)
        if self._afresh:
            return None
        place = _place(entry)
        if place not in self._read:
            self._read[place] = read_known(self._path(place))
        known = self._read[place].get(entry.in_root)
        return known if known is not None and known.identity == identity_of(entry) else None

    def _tree(self, entry: Entry) -> TreeState:
        place = _place(entry)
        tree = self._trees.get(place)
        if tree is None:
            head = {"root": entry.root, **self._settings}
            tree = TreeState(self._path(place), head, afresh=self._afresh)
            self._trees[place] = tree
        return tree

    def _path(self, place: tuple[str, bool]) -> Path:
        text = json.dumps([place, self._settings], sort_keys=True)
        return self._folder / f"{hashlib.sha256(text.encode()).hexdigest()[:32]}.jsonl"


@dataclass(frozen=True, slots=True)
class Begun:
    key: str
    may_be_stored: bool
    """The archive must be asked, by content."""
    upload_url: str | None = None


def _place(entry: Entry) -> tuple[str, bool]:
    return entry.root, entry.relative is None


def state_folder() -> Path:
    """`put` in the archive's state directory, or else in the user's."""
    if home := os.environ.get("ARTSTORE_HOME"):
        return Path(home) / "put"
    base = os.environ.get("XDG_STATE_HOME")
    return (Path(base) if base else Path.home() / ".local" / "state") / "artstore" / "put"


def _settings_of(profile: Profile, details: Details) -> dict[str, Any]:
    """What makes another upload of the same file. An archive that was set up anew at the same
    address has another authority, and knows nothing of what the old one had."""
    authority = profile.ca_file.read_bytes() if profile.ca_file is not None else b""
    told = {**asdict(details), "tags": list(details.tags), "metadata": dict(details.metadata)}
    return {
        "archive": profile.edge_url,
        "authority": hashlib.sha256(authority).hexdigest()[:16],
        "account": profile.client_id,
        "details": told,
    }
