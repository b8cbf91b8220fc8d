"""Puts the parts of the scrub together for a running element."""

from functools import partial
from typing import NamedTuple

from artstore.core.model.element import StorageMode
from artstore.storage.engine.archive.assembly import ArchiveParts
from artstore.storage.engine.backends.objects import ObjectBackend
from artstore.storage.engine.foundation import Foundation
from artstore.storage.engine.record import RecordType
from artstore.storage.engine.scrub.aside import Aside, LocalAside
from artstore.storage.engine.scrub.docket import Docket
from artstore.storage.engine.scrub.ledger import Ledger
from artstore.storage.engine.scrub.repair import Repairs
from artstore.storage.engine.scrub.report import DamageReport
from artstore.storage.engine.scrub.round import Element
from artstore.storage.engine.scrub.scrub import Scrub
from artstore.storage.engine.scrub.shelf import (
    ArchivedShelf,
    LocalShelf,
    Shelf,
    StoreShelf,
)


class ScrubParts(NamedTuple):
    scrub: Scrub
    repairs: Repairs
    docket: Docket
    report: DamageReport


def assemble(base: Foundation, archiving: ArchiveParts) -> ScrubParts:
    ledger = Ledger(base.fs, base.layout)
    shelf, aside = _places(base, archiving)
    docket = Docket(ledger, base.clock, partial(base.submission.note, RecordType.FINDING), aside)
    docket.load()
    element = _element(base, shelf, archiving)
    scrub = Scrub(
        element=element,
        docket=docket,
        ledger=ledger,
        aside=aside,
        clock=base.clock,
        interval_s=base.options.scrub_interval_s,
        rate_bytes_per_s=base.options.scrub_rate_bytes_per_s,
        used_bytes=lambda: base.room.capacity().used,
    )

    def repaired() -> None:
        scrub.note_repair()
        archiving.look_again()

    repairs = Repairs(
        element=element,
        backend=base.backend,
        docket=docket,
        ledger=ledger,
        aside=aside,
        room=base.room,
        fail=base.writer.fail,
        repaired=repaired,
    )
    return ScrubParts(scrub, repairs, docket, DamageReport(element, docket))


def _places(base: Foundation, archiving: ArchiveParts) -> tuple[Shelf, Aside]:
    """Where the files lie, and where damaged bytes go."""
    fs, layout, backend = base.fs, base.layout, base.backend
    if isinstance(backend, ObjectBackend):
        return StoreShelf(backend, layout), backend.quarantine
    if archiving.archive is not None:
        return ArchivedShelf(fs, layout, archiving.archive), LocalAside(fs, layout)
    return LocalShelf(fs, layout), LocalAside(fs, layout)


def _element(base: Foundation, shelf: Shelf, archiving: ArchiveParts) -> Element:
    standing, writer = base.standing, base.writer
    return Element(
        fs=base.fs,
        layout=base.layout,
        shelf=shelf,
        claims=base.claims,
        file=lambda: standing.element,
        head=lambda: writer.head,
        check=writer.check,
        content_expected=lambda: (
            archiving.archive is not None or standing.mode is not StorageMode.AR
        ),
    )
