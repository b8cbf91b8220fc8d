"""What the SDK knows of the audit log: `ArtStore.audit`, `AsyncArtStore.audit`."""

from collections.abc import AsyncIterator, Iterator, Sequence
from datetime import datetime
from pathlib import Path
from typing import IO, TYPE_CHECKING

from artstore.client import audit
from artstore.client.audit import AuditKeys, LoggedEvent, ProvenEvent, ProvenTimeline
from artstore.client.calls import Calls
from artstore.client.messages import Progress

if TYPE_CHECKING:
    from artstore.client.async_transport import AsyncTransport
    from artstore.client.proofs import Bundle
    from artstore.client.sync_transport import SyncTransport

PROOF_WAIT_S = 90.0
"""Longer than a witness is left without a question."""


class AuditLog:
    def __init__(self, calls: Calls, transport: "SyncTransport") -> None:
        self._calls = calls
        self._transport = transport

    def events(
        self,
        *,
        since: datetime | None = None,
        until: datetime | None = None,
        limit: int | None = None,
        **conditions: str | None,
    ) -> Iterator[LoggedEvent]:
        """The newest first, fetched a page at a time.

        Args:
            since: Counts in; `until` does not.
            conditions: `kind`, `outcome`, `person`, `account`, `file_id`, `collection`,
                `element_id`.
        """
        parameters = audit.event_parameters(since=since, until=until, conditions=conditions)
        pages = audit.EventPages(self._calls, parameters, limit)
        while not pages.ended:
            yield from self._transport.run(pages.next())

    def timeline(self, file_id: str) -> Iterator[LoggedEvent]:
        """Everything that happened to a file, the oldest first, fetched a page at a time."""
        pages = audit.TimelinePages(self._calls, file_id)
        while not pages.ended:
            yield from self._transport.run(pages.next())

    def proven_timeline(self, file_id: str) -> ProvenTimeline:
        """As `timeline`, with proofs in one state of the log. Raises `UnknownAuditEntry`."""
        return self._transport.run(audit.proven_timeline(self._calls, file_id))

    def proof(self, index: int) -> ProvenEvent:
        return self._transport.run(audit.proof(self._calls, index))

    def checkpoint(self, *, confirmed: bool = False) -> bytes:
        """The newest signed state, or the newest that witnesses have confirmed: a note of
        c2sp.org/tlog-checkpoint. Kept, it shows later that history was not rewritten."""
        return self._transport.run(audit.checkpoint(self._calls, confirmed=confirmed))

    def keys(self) -> AuditKeys:
        return self._transport.run(audit.keys(self._calls))

    def erase(
        self,
        *,
        reason: str,
        person: str | None = None,
        account: str | None = None,
        file_id: str | None = None,
        until: datetime | None = None,
        fields: Sequence[str] = (),
    ) -> int:
        """Destroy personal facts for good: those of a person, an account or a file, of events
        before `until`. Events and proofs stay as they are. How many events lost something.

        Args:
            fields: Which facts (`PersonalField`); none named means all.
        """
        order = audit.erasure(
            person=person,
            account=account,
            file_id=file_id,
            until=until,
            fields=fields,
            reason=reason,
        )
        return self._transport.run(audit.erase(self._calls, order))

    def rotate_keys(self) -> list[str]:
        """Let the log sign with new keys; those that were retired. They must stay known."""
        return self._transport.run(audit.rotate_keys(self._calls))

    def export(
        self,
        out: IO[bytes],
        *,
        first: int = 0,
        end: int | None = None,
        progress: Progress | None = None,
    ) -> int:
        """Write an export into a file that can seek; returns its length. It is not checked:
        `artstore.core.audit.verification` does that."""
        return self._transport.run(audit.export(self._calls, out, first, end, progress))

    def bundle(
        self,
        file_id: str,
        path: Path,
        *,
        receipt: str | None = None,
        wait_s: float = PROOF_WAIT_S,
        progress: Progress | None = None,
    ) -> "Bundle":
        """Write the proof bundle of a file to `path`, replacing what is there.

        Waits until the log has all that happened to the file and the witnesses have seen it.

        Args:
            receipt: The deposit receipt that was kept; without it the archive gives one now.

        Raises:
            InvalidRequest: The receipt is none.
            UnknownFile: There is no such file.
            Unavailable: It cannot be proven within `wait_s`; the message says why.
        """
        # It checks signatures, and few programs ask for it.
        from artstore.client import proofs  # noqa: PLC0415

        flow = proofs.bundle(
            self._calls, file_id, path, receipt=receipt, wait_s=wait_s, progress=progress
        )
        return self._transport.run(flow)


class AsyncAuditLog:
    """What the methods do and raise stands in `AuditLog`."""

    def __init__(self, calls: Calls, transport: "AsyncTransport") -> None:
        self._calls = calls
        self._transport = transport

    async def events(
        self,
        *,
        since: datetime | None = None,
        until: datetime | None = None,
        limit: int | None = None,
        **conditions: str | None,
    ) -> AsyncIterator[LoggedEvent]:
        parameters = audit.event_parameters(since=since, until=until, conditions=conditions)
        pages = audit.EventPages(self._calls, parameters, limit)
        while not pages.ended:
            for event in await self._transport.run(pages.next()):
                yield event

    async def timeline(self, file_id: str) -> AsyncIterator[LoggedEvent]:
        pages = audit.TimelinePages(self._calls, file_id)
        while not pages.ended:
            for event in await self._transport.run(pages.next()):
                yield event

    async def proven_timeline(self, file_id: str) -> ProvenTimeline:
        return await self._transport.run(audit.proven_timeline(self._calls, file_id))

    async def proof(self, index: int) -> ProvenEvent:
        return await self._transport.run(audit.proof(self._calls, index))

    async def checkpoint(self, *, confirmed: bool = False) -> bytes:
        return await self._transport.run(audit.checkpoint(self._calls, confirmed=confirmed))

    async def keys(self) -> AuditKeys:
        return await self._transport.run(audit.keys(self._calls))

    async def erase(
        self,
        *,
        reason: str,
        person: str | None = None,
        account: str | None = None,
        file_id: str | None = None,
        until: datetime | None = None,
        fields: Sequence[str] = (),
    ) -> int:
        order = audit.erasure(
            person=person,
            account=account,
            file_id=file_id,
            until=until,
            fields=fields,
            reason=reason,
        )
        return await self._transport.run(audit.erase(self._calls, order))

    async def rotate_keys(self) -> list[str]:
        return await self._transport.run(audit.rotate_keys(self._calls))

    async def export(
        self,
        out: IO[bytes],
        *,
        first: int = 0,
        end: int | None = None,
        progress: Progress | None = None,
    ) -> int:
        return await self._transport.run(audit.export(self._calls, out, first, end, progress))

    async def bundle(
        self,
        file_id: str,
        path: Path,
        *,
        receipt: str | None = None,
        wait_s: float = PROOF_WAIT_S,
        progress: Progress | None = None,
    ) -> "Bundle":
        from artstore.client import proofs  # noqa: PLC0415

        flow = proofs.bundle(
            self._calls, file_id, path, receipt=receipt, wait_s=wait_s, progress=progress
        )
        return await self._transport.run(flow)
