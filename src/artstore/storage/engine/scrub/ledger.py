"""Findings that are open, one small file each beside the damaged bytes.

    quarantine/<key>.json       the key is the file's id where there is one

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
from artstore.core.model.ids import FileId
from artstore.core.model.scrub import FindingKind
from artstore.storage.engine.durable_file import replace_file
from artstore.storage.engine.fs import Fs, read_file
from artstore.storage.engine.layout import Layout
from artstore.storage.engine.scrub.aside import QUARANTINE, make_durable
from artstore.storage.engine.scrub.findings import Finding

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
        make_durable(self._fs, self._directory)
        data = found.model_dump_json(indent=2).encode() + b"\n"
        replace_file(self._fs, self._path(_key(found.as_finding)), data)

    def close(self, found: OpenFinding) -> None:
        with contextlib.suppress(FileNotFoundError):
            self._fs.unlink(self._path(_key(found.as_finding)))
            self._fs.flush_directory(self._directory)

    # --- inside -----------------------------------------------------------------------

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
