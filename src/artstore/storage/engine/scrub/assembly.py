"""Puts the parts of the scrub together for a running element."""

from collections.abc import Callable
from typing import NamedTuple

from artstore.core.clock import Clock
from artstore.core.model.element import StorageMode
from artstore.storage.engine.archive.assembly import ArchiveParts
from artstore.storage.engine.backends.base import Backend
from artstore.storage.engine.backends.objects import ObjectBackend
from artstore.storage.engine.capacity import Room
from artstore.storage.engine.claims import Claims
from artstore.storage.engine.fs import Fs
from artstore.storage.engine.identity import ElementFile
from artstore.storage.engine.layout import Layout
from artstore.storage.engine.scrub.aside import Aside, LocalAside
from artstore.storage.engine.scrub.docket import Docket, Report
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
from artstore.storage.engine.writer import Writer


class ScrubParts(NamedTuple):
    scrub: Scrub
    repairs: Repairs
    docket: Docket
    report: DamageReport


def assemble(
    *,
    fs: Fs,
    layout: Layout,
    backend: Backend,
    claims: Claims,
    writer: Writer,
    room: Room,
    clock: Clock,
    file: Callable[[], ElementFile],
    report: Report,
    interval_s: float,
    rate_bytes_per_s: int,
    archiving: ArchiveParts,
) -> ScrubParts:
    ledger = Ledger(fs, layout)
    shelf: Shelf
    aside: Aside
    if isinstance(backend, ObjectBackend):
        shelf, aside = StoreShelf(backend, layout), backend.quarantine
    else:
        shelf, aside = LocalShelf(fs, layout), LocalAside(fs, layout)
        if archiving.archive is not None:
            shelf = ArchivedShelf(fs, layout, archiving.archive)
    docket = Docket(ledger, clock, report, aside)
    docket.load()
    element = Element(
        fs=fs,
        layout=layout,
        shelf=shelf,
        claims=claims,
        file=file,
        head=lambda: writer.head,
        check=writer.check,
        content_expected=lambda: archiving.archive is not None or file().mode is not StorageMode.AR,
    )
    scrub = Scrub(
        element=element,
        docket=docket,
        ledger=ledger,
        aside=aside,
        clock=clock,
        interval_s=interval_s,
        rate_bytes_per_s=rate_bytes_per_s,
        used_bytes=lambda: room.capacity().used,
    )

    def repaired() -> None:
        scrub.note_repair()
        archiving.look_again()

    repairs = Repairs(
        element=element,
        backend=backend,
        docket=docket,
        ledger=ledger,
        aside=aside,
        room=room,
        fail=writer.fail,
        repaired=repaired,
    )
    return ScrubParts(scrub, repairs, docket, DamageReport(element, docket))
