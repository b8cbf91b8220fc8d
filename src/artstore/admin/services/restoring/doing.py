"""Restores as they are done, by jobs."""

from collections.abc import Mapping, Sequence
from contextlib import aclosing
from datetime import timedelta
from typing import Any, Final
from uuid import UUID

from artstore.admin.repository import jobs, restores
from artstore.admin.repository.restores import RestoredFile
from artstore.admin.services.audit.trail import Deed, Trail, Who
from artstore.admin.services.copies.planning import ElementView, targets_of
from artstore.admin.services.copies.views import Views, held_files
from artstore.admin.services.elements_control import CopyLine, ElementControl
from artstore.admin.services.restoring.rules import is_damaged, is_readable, sources_of
from artstore.core.clock import Clock
from artstore.core.database import Database
from artstore.core.errors import ArtStoreError, FileDamaged, Unavailable
from artstore.core.logging import get_logger
from artstore.core.metrics import RESTORE_DURATION
from artstore.core.model.audit import AuditKind, Outcome
from artstore.core.model.element import StorageMode
from artstore.core.model.ids import ElementId, FileId
from artstore.core.model.job import Job
from artstore.core.model.restored import RestoreTerms

END_RESTORES: Final = "restores.end"
"""Kind of the one job that removes copies whose time is over; its key is empty."""
PAGE_FILES: Final = 100
RETRY_S: Final = 60.0
_DAMAGED: Final = "what the archive has is not what was stored; it was not restored"


class Restoring:
    """`lifetime_s`: how long a copy can be read."""

    def __init__(
        self,
        database: Database,
        views: Views,
        control: ElementControl,
        trail: Trail,
        clock: Clock,
        *,
        lifetime_s: int,
    ) -> None:
        self._database = database
        self._views = views
        self._control = control
        self._trail = trail
        self._clock = clock
        self._lifetime = timedelta(seconds=lifetime_s)

    async def restore(self, job: Job) -> None:
        """
        Raises:
            FileDamaged: No archive has it whole.
            Unavailable: It cannot be done yet.
        """
        file_id = FileId(job.key)
        async with self._database.session() as session:
            files = await held_files(session, [UUID(file_id)])
        view = await self._views.look()
        if not files or is_readable(files[0], view):
            return  # It was deleted from the catalogue, or came back online meanwhile.
        if is_damaged(files[0], view):
            raise FileDamaged(_DAMAGED)
        sources = sources_of(files[0], view)
        if not sources:
            raise Unavailable("no element that has the file in its archive answers")
        target = next(iter(targets_of(files[0], view, StorageMode.EDIT)), None)
        if target is None:
            raise Unavailable("no element in mode edit has room for the file")
        source = await self._fetch(file_id, sources, target)
        await self._conclude(job, source, target)

    async def failed(self, job: Job, problem: str) -> None:
        """It was given up."""
        await self._tell(
            job, Deed(AuditKind.FILE_RESTORED, Outcome.FAILED, problem, file_id=FileId(job.key))
        )

    async def end(self) -> float | None:
        """Remove the copies whose time is over. Seconds until there is more to do."""
        away: list[str] = []
        while True:
            async with self._database.session() as session:
                page = await restores.over(session, away, PAGE_FILES)
                next_s = await restores.next_end_s(session)
            if not page:
                break
            view = await self._views.look()
            for file in page:
                if file.element_id not in away and not await self._end_one(file, view):
                    away.append(file.element_id)
        if away:
            return RETRY_S
        return next_s and max(next_s, 0.0)

    async def _fetch(
        self, file_id: FileId, sources: Sequence[ElementView], target: ElementView
    ) -> ElementView:
        """Whose archive it came from."""
        refused: list[CopyLine] = []
        for source in sources:
            line = await self._order(file_id, source, target)
            if line.is_done:
                return source
            get_logger().warning(
                "not restored",
                file_id=file_id,
                source=source.element_id,
                target=target.element_id,
                code=line.code,
            )
            refused.append(line)
        if all(line.code == FileDamaged.code and line.side == "source" for line in refused):
            raise FileDamaged(_DAMAGED)
        first = refused[0]
        raise Unavailable(f"{first.side or 'target'}: {first.code}: {first.detail}")

    async def _order(self, file_id: FileId, source: ElementView, target: ElementView) -> CopyLine:
        expires_at = self._clock.now() + self._lifetime
        terms = RestoreTerms(restored_from=source.element_id, expires_at=expires_at)
        lines = self._control.take_over(target.url, source.url, [file_id], "restore", terms)
        async with aclosing(lines):
            async for line in lines:
                return line
        raise Unavailable("the element broke off")

    async def _conclude(self, job: Job, source: ElementView, target: ElementView) -> None:
        file_id = FileId(job.key)
        # Its own word: it may have had the copy from an attempt that was cut off.
        copy = await self._control.restored(target.url, file_id)
        details = {
            "source": source.element_id,
            "expires_at": copy.expires_at.isoformat(),
            "sha256": copy.record.sha256,
            "size": copy.record.size,
        }
        deed = Deed(
            AuditKind.FILE_RESTORED,
            file_id=file_id,
            collection=copy.record.collection,
            element_id=target.element_id,
            details=details,
        )
        async with self._database.session() as session:
            if not await restores.note(session, target.element_id, copy):
                return
            await self._trail.record(session, _who(job), deed)
            await jobs.wake(session, END_RESTORES, "")
        # The request's moment is the database's; the two clocks may differ by a little.
        taken_s = (self._clock.now() - job.created_at).total_seconds()
        RESTORE_DURATION.observe(max(0.0, taken_s))

    async def _tell(self, job: Job, deed: Deed) -> None:
        async with self._database.session() as session:
            await self._trail.record(session, _who(job), deed)

    async def _end_one(self, file: RestoredFile, view: Mapping[ElementId, ElementView]) -> bool:
        """False: its element is to be asked again later."""
        element = view.get(file.element_id)
        if element is not None:
            try:
                await self._control.remove_restored(element.url, FileId(str(file.file_id)))
            except ArtStoreError as error:
                # It is away, or by its clock the time is not over.
                get_logger().info("a restored copy stays", element=file.element_id, code=error.code)
                return False
        async with self._database.session() as session:
            await restores.forget(session, file)
        return True


def _who(job: Job) -> Who:
    payload: Mapping[str, Any] = job.payload
    return Who(
        subject=payload.get("subject"),
        token_id=payload.get("token_id"),
        services=tuple(payload.get("services", ())),
    )
