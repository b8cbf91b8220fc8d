"""A cached view of the storage elements: where they are, and what they last said.

Uploads never wait for it. It outlives an outage of the admin module: the last registry that
was read stays in force until the next one is read.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final, Protocol

from artstore.core.clock import Clock
from artstore.core.errors import ArtStoreError, Unavailable
from artstore.core.logging import get_logger
from artstore.core.model.element import (
    CapacityState,
    DrainState,
    ElementInfo,
    RegisteredElement,
)
from artstore.core.model.ids import ElementId
from artstore.ingester.services.placement import ElementReport
from artstore.ingester.services.refreshing import keep_fresh

INFO_TIMEOUT_S: Final = 2.0
RESTS_MAX: Final = 32
"""The longest rest in terms of the shortest, which is as long as until the next look at all."""


class ElementSource(Protocol):
    """Where entries and reports come from. Both raise an `ArtStoreError` when nobody answers."""

    async def registry(self) -> Sequence[RegisteredElement]: ...

    async def info(self, entry: RegisteredElement) -> ElementInfo: ...


@dataclass(slots=True)
class _Rest:
    length_s: float
    until_s: float


class CachedDirectory:
    def __init__(
        self,
        source: ElementSource,
        clock: Clock,
        *,
        registry_refresh_s: float,
        element_refresh_s: float,
    ) -> None:
        self._source = source
        self._clock = clock
        self._registry_refresh_s = registry_refresh_s
        self._element_refresh_s = element_refresh_s
        self._reports: dict[ElementId, ElementReport] = {}
        self._entries: tuple[RegisteredElement, ...] = ()
        self._rests: dict[ElementId, _Rest] = {}
        self._log = get_logger()

    def reports(self) -> Sequence[ElementReport]:
        return tuple(self._reports.values())

    def failed(self, element_id: ElementId) -> None:
        report = self._reports.get(element_id)
        if report is None:
            return
        self._reports[element_id] = replace(report, answers=False, is_resting=True)
        now_s, rest = self._clock.monotonic_s(), self._rests.get(element_id)
        length_s = self._element_refresh_s
        if rest is not None:
            if now_s < rest.until_s:
                return  # it was under way together with what failed first
            length_s = min(2 * rest.length_s, RESTS_MAX * length_s)
        self._rests[element_id] = _Rest(length_s, now_s + length_s)

    def worked(self, element_id: ElementId) -> None:
        if element_id in self._rests and not self._is_resting(element_id):
            del self._rests[element_id]

    def _is_resting(self, element_id: ElementId) -> bool:
        rest = self._rests.get(element_id)
        return rest is not None and self._clock.monotonic_s() < rest.until_s

    async def check(self) -> None:
        """For readiness: somebody could take a file."""
        if not any(report.answers and report.writable for report in self._reports.values()):
            raise Unavailable("no writable storage element answers")

    async def follow(self) -> None:
        """Keep the view fresh until cancelled."""
        async with asyncio.TaskGroup() as group:
            for refresh, pause_s in (
                (self.refresh_registry, self._registry_pause_s),
                (self.refresh_elements, self._element_pause_s),
            ):
                group.create_task(keep_fresh("view of elements", refresh, pause_s))

    def _registry_pause_s(self) -> float:
        # Until the first answer nothing can be stored: ask often.
        return self._registry_refresh_s if self._entries else self._element_refresh_s / 4

    def _element_pause_s(self) -> float:
        everyone_answers = all(report.answers for report in self._reports.values())
        waiting = not self._reports or not everyone_answers
        return self._element_refresh_s / 4 if waiting else self._element_refresh_s

    async def refresh_registry(self) -> None:
        try:
            entries = tuple(await self._source.registry())
        except ArtStoreError as error:
            self._log.warning("registry of elements not read", code=error.code)
            return
        if entries == self._entries:
            return
        self._entries = entries
        self._reports = {entry.element_id: self._merged(entry) for entry in entries}
        self._log.info("registry of elements changed", elements=list(self._reports))

    def _merged(self, entry: RegisteredElement) -> ElementReport:
        """The new entry, with what was heard of the element at the same address."""
        is_draining = entry.drain is not DrainState.OFF
        fresh = ElementReport(entry.element_id, entry.url, entry.priority, is_draining=is_draining)
        known = self._reports.get(entry.element_id)
        if known is None or known.url != entry.url:
            return fresh
        return replace(known, priority=entry.priority, is_draining=is_draining)

    async def refresh_elements(self) -> None:
        async with asyncio.TaskGroup() as group:
            for entry in self._entries:
                group.create_task(self._refresh(entry))

    async def _refresh(self, entry: RegisteredElement) -> None:
        before = self._reports.get(entry.element_id)
        if before is None:
            return
        try:
            async with asyncio.timeout(INFO_TIMEOUT_S):
                info = await self._source.info(entry)
        except (ArtStoreError, TimeoutError):
            self._note(replace(before, answers=False))
            return
        if info.element_id != entry.element_id:
            # Two entries with swapped addresses: files would end up on the wrong element.
            self._log.error("wrong element", wanted=entry.element_id, found=info.element_id)
            self._note(replace(before, answers=False))
            return
        report = replace(
            before,
            mode=info.mode,
            answers=True,
            writable=info.writable,
            available_bytes=info.capacity.available,
            is_full=info.capacity.state is CapacityState.FULL,
            is_resting=self._is_resting(entry.element_id),
        )
        self._note(report)

    def _note(self, report: ElementReport) -> None:
        before = self._reports.get(report.element_id)
        if before is None or before.url != report.url:
            # The registry changed while the element was being asked.
            return
        if before.answers != report.answers:
            self._log.warning("element", element=report.element_id, answers=report.answers)
        self._reports[report.element_id] = report
