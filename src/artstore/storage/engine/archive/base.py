"""What an element asks of the place where its contents lie in mode `ar`.

A directory implements it (`directory`). Another place, a bucket that must thaw or a robot with
tapes, implements the same four calls: `open` begins to fetch and raises `ArchiveAway` until the
bytes are there, and whoever restores asks again. Nobody but the archiver and restores retry.
"""

from typing import Protocol

from artstore.core.errors import Unavailable
from artstore.core.model.file import FileRecord
from artstore.storage.engine.backends.base import OpenContent


class ArchiveAway(Unavailable):
    """The archive cannot be used now: it is not there, it is full, it is another one, or it
    needs time. Later it may do."""


class Archive(Protocol):
    """A content that lies here never changes. Calls block, and may come from any thread; `keep`
    and `settle` from one."""

    def connect(self) -> None:
        """Make sure that it is there and belongs to this element; the first time it is made so.

        Raises:
            ArchiveAway.
        """
        ...

    def keep(self, record: FileRecord, attr: bytes, content: OpenContent) -> None:
        """Have content and attr.json here, whole. Again is the same as once; what is here and
        not whole is set aside. Durable after the next `settle`.

        Raises:
            FileDamaged: `content` is not what the record says. Nothing was kept.
            ArchiveAway.
        """
        ...

    def settle(self) -> None:
        """All that was kept before is durable on return. Raises `ArchiveAway`."""
        ...

    def open(self, record: FileRecord) -> OpenContent:
        """Its `read` raises `ArchiveAway` too.

        Raises:
            FileNotFoundError: The archive is there, and the content is not in it.
            ArchiveAway.
        """
        ...
