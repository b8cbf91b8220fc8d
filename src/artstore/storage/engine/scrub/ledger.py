"""Findings that are open, one small file each, and the damaged bytes beside them.

    quarantine/<key>.json       an open finding; the key is the file's id where there is one
    quarantine/<file id>/       bytes that were moved out of the way; they stay when the
                                file is repaired, and go only when it is deleted

So nothing has to be kept in memory, a restart forgets nothing, and an operator sees all of
it with `ls`.
"""

import contextlib
import hashlib
from collections.abc import Iterator
from datetime import datetime
from typing import Final, Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from artstore.core.logging import get_logger
from artstore.core.model.ids import FileId, is_file_id
from artstore.core.model.scrub import FindingKind
from artstore.storage.engine.fs import Fs, read_file
from artstore.storage.engine.layout import Layout
from artstore.storage.engine.scrub.durable_file import replace_file
from artstore.storage.engine.scrub.findings import Finding

QUARANTINE: Final = "quarantine"
FORMAT_VERSION: Final = 1
_SUFFIX: Final = ".json"


class OpenFinding(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    format_version: Literal[1] = FORMAT_VERSION
    finding: FindingKind
    file_id: FileId | None
    path: str
    cause: str
    found_at: datetime
    seen_at: datetime
    """The last time."""
    seq: int | None
    """Where the log tells it; `None`: the log could not be written, tell it later."""
    set_aside: str | None = None
    """Where the damaged bytes are now, relative to the root."""

    @property
    def as_finding(self) -> Finding:
        return Finding(self.finding, self.file_id, self.path, self.cause)


class Ledger:
    def __init__(self, fs: Fs, layout: Layout) -> None:
        self._fs = fs
        self._root = layout.root
        self._directory = f"{layout.root}/{QUARANTINE}"

    def find(self, finding: Finding) -> OpenFinding | None:
        """The open one about the same thing, perhaps of another kind."""
        return self._read(_key(finding))

    def of_file(self, file_id: FileId) -> OpenFinding | None:
        """Its damage; surplus bytes beside it are another matter."""
        return self._read(file_id)

    def all(self) -> Iterator[OpenFinding]:
        if not self._fs.exists(self._directory):
            return
        for name in sorted(self._fs.names(self._directory)):
            if name.endswith(_SUFFIX) and (found := self._read(name.removesuffix(_SUFFIX))):
                yield found

    def write(self, found: OpenFinding) -> None:
        """Durable on return."""
        self._make(self._directory)
        data = found.model_dump_json(indent=2).encode() + b"\n"
        replace_file(self._fs, self._path(_key(found.as_finding)), data)

    def close(self, found: OpenFinding) -> None:
        with contextlib.suppress(FileNotFoundError):
            self._fs.unlink(self._path(_key(found.as_finding)))
            self._fs.flush_directory(self._directory)

    # --- bytes set aside --------------------------------------------------------------

    def set_aside(self, file_id: FileId, path: str) -> str | None:
        """Move what lies at `path` out of the way. Returns where it is now, relative to the
        root; `None` if there was nothing. Both names are durable on return."""
        target = self._free_name(file_id, path)
        try:
            self._fs.rename(path, target)
        except FileNotFoundError:
            return None
        self._fs.flush_directory(target.rpartition("/")[0])
        self._fs.flush_directory(path.rpartition("/")[0])
        return target.removeprefix(f"{self._root}/")

    def keep_copy(self, file_id: FileId, path: str) -> None:
        """Of a small file that will be replaced."""
        with contextlib.suppress(FileNotFoundError):
            replace_file(self._fs, self._free_name(file_id, path), read_file(self._fs, path))

    def files_set_aside(self) -> Iterator[FileId]:
        if self._fs.exists(self._directory):
            for name in list(self._fs.names(self._directory)):
                if is_file_id(name):
                    yield FileId(name)

    def holds_bytes_of(self, file_id: FileId) -> bool:
        return self._fs.exists(f"{self._directory}/{file_id}")

    def forget_bytes(self, file_id: FileId) -> bool:
        """The file was deleted, and all of its bytes must be gone. False: there were none.

        The directory stays, empty: it says that there was something.
        """
        directory = f"{self._directory}/{file_id}"
        names = list(self._fs.names(directory)) if self._fs.exists(directory) else []
        for name in names:
            self._fs.unlink(f"{directory}/{name}")
        if names:
            self._fs.flush_directory(directory)
        return bool(names)

    # --- inside -----------------------------------------------------------------------

    def _free_name(self, file_id: FileId, path: str) -> str:
        """Of an earlier damage of the same file nothing is overwritten."""
        directory = f"{self._directory}/{file_id}"
        self._make(self._directory)
        self._make(directory)
        wanted = f"{directory}/{path.rpartition('/')[2]}"
        name, count = wanted, 1
        while self._fs.exists(name):
            name, count = f"{wanted}.{count}", count + 1
        return name

    def _make(self, directory: str) -> None:
        if not self._fs.exists(directory):
            self._fs.make_directory(directory)
            self._fs.flush_directory(directory.rpartition("/")[0])

    def _read(self, key: str) -> OpenFinding | None:
        try:
            return OpenFinding.model_validate_json(read_file(self._fs, self._path(key)))
        except FileNotFoundError:
            return None
        except ValidationError:
            # It is found and written anew.
            get_logger().warning("an open finding cannot be read", key=key)
            return None

    def _path(self, key: str) -> str:
        return f"{self._directory}/{key}{_SUFFIX}"


def _key(finding: Finding) -> str:
    if finding.file_id is not None and finding.kind is not FindingKind.SURPLUS:
        return finding.file_id
    digest = hashlib.sha256(finding.path.encode(errors="surrogateescape")).hexdigest()
    return f"{finding.kind}-{digest[:32]}"
