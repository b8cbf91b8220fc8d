"""Puts an element's archive together, if it has one."""

from typing import Final, NamedTuple, Self

from artstore.core.model.element import ArchiveStatus
from artstore.storage.engine.archive.archiver import Archiver
from artstore.storage.engine.archive.base import Archive
from artstore.storage.engine.archive.directory import DirectoryArchive
from artstore.storage.engine.archive.marks import Notebook
from artstore.storage.engine.foundation import Foundation

NOWHERE: Final = "no-archive-is-set"


class ArchiveParts(NamedTuple):
    archive: Archive | None
    archiver: Archiver | None

    @classmethod
    def assemble(cls, base: Foundation) -> Self:
        fs, layout, options = base.fs, base.layout, base.options
        notebook = Notebook(fs, layout)
        directory = options.archive_directory
        if directory is None:
            if not fs.exists(layout.archive):
                return cls(None, None)
            # It has one, and nobody says where: away, as one that is not mounted.
            directory = f"{layout.root}/{NOWHERE}"
        archive = DirectoryArchive(fs, directory, options.element_id, notebook)
        archiver = Archiver(
            fs=fs,
            layout=layout,
            backend=base.backend,
            claims=base.claims,
            standing=base.standing,
            archive=archive,
            notebook=notebook,
            clock=base.clock,
            rate_bytes_per_s=options.archive_rate_bytes_per_s,
            check=base.writer.check,
        )
        return cls(archive, archiver)

    def start(self) -> None:
        if self.archiver is not None:
            self.archiver.start()

    def stop(self) -> None:
        if self.archiver is not None:
            self.archiver.stop()

    def look_again(self) -> None:
        if self.archiver is not None:
            self.archiver.look_again()

    def status(self) -> ArchiveStatus | None:
        return self.archiver.status() if self.archiver is not None else None
