"""The SDK for asyncio. What the methods do and raise stands in `artstore.client.store`."""

from collections.abc import AsyncIterator, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO, Self

from artstore.client import receipts, records
from artstore.client.async_transport import AsyncTransport
from artstore.client.audit_log import AsyncAuditLog
from artstore.client.bodies import Source
from artstore.client.calls import Calls
from artstore.client.downloads import download
from artstore.client.messages import Progress
from artstore.client.results import Download, StoredFile
from artstore.client.resumable import Resume
from artstore.client.settings import Profile, load_profile
from artstore.client.sinks import destination_of
from artstore.client.uploads import Details, upload
from artstore.core.model.file import FileRecord
from artstore.core.model.page import Item
from artstore.core.model.restored import Restore


class AsyncArtStore:
    """One ArtStore, as one account, for one event loop."""

    def __init__(
        self,
        edge_url: str,
        ca_file: Path | str | None,
        client_id: str,
        client_secret: str,
        *,
        connections: int = 32,
        session_file: Path | None = None,
    ) -> None:
        """
        Args:
            connections: Open at a time; further requests wait for one.
            session_file: Of a person; then there is no secret.
        """
        ca_path = Path(ca_file) if ca_file is not None else None
        self.profile = Profile(
            edge_url.rstrip("/"), ca_path, client_id, client_secret, session_file
        )
        self._calls = Calls(self.profile)
        self._transport = AsyncTransport(self.profile, self._calls, connections)
        self.audit = AsyncAuditLog(self._calls, self._transport)

    @classmethod
    def from_home(cls, home: Path | str | None = None, *, connections: int = 32) -> Self:
        """With the profile of `home`, or else the first found (see `load_profile`)."""
        return cls.from_profile(load_profile(home), connections=connections)

    @classmethod
    def from_profile(cls, profile: Profile, *, connections: int = 32) -> Self:
        return cls(
            profile.edge_url,
            profile.ca_file,
            profile.client_id,
            profile.client_secret,
            connections=connections,
            session_file=profile.session_file,
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        failure: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.close()

    async def close(self) -> None:
        await self._transport.close()

    async def put(
        self,
        source: Source,
        *,
        filename: str | None = None,
        collection: str | None = None,
        tags: Sequence[str] = (),
        metadata: Mapping[str, Any] | None = None,
        retention: str | None = None,
        content_type: str | None = None,
        progress: Progress | None = None,
        idempotency_key: str | None = None,
        resume: Resume | None = None,
    ) -> StoredFile:
        details = Details(filename, collection, tags, metadata or {}, retention, content_type)
        flow = upload(
            self._calls,
            source,
            details,
            progress,
            idempotency_key=idempotency_key,
            resume=resume,
        )
        return await self._transport.run(flow)

    def new_idempotency_key(self) -> str:
        return self._calls.keys.new()

    def server_time(self) -> datetime:
        """By this computer's clock, set right once there is a token."""
        return self._calls.keys.now()

    async def get(
        self,
        file_id: str,
        destination: Path | str | BinaryIO,
        *,
        overwrite: bool = True,
        progress: Progress | None = None,
    ) -> Download:
        sink = destination_of(destination, file_id, overwrite=overwrite, progress=progress)
        return await self._transport.run(download(self._calls, file_id, sink))

    async def info(self, file_id: str) -> FileRecord:
        return await self._transport.run(records.info(self._calls, file_id))

    def files(
        self, collection: str | None = None, *, limit: int | None = None
    ) -> AsyncIterator[FileRecord]:
        parameters = records.list_parameters(collection)
        return self._walk(records.RecordPages(self._calls, records.FILES, parameters, limit))

    def search(
        self,
        query: str | None = None,
        *,
        tags: Sequence[str] = (),
        collection: str | None = None,
        metadata: Mapping[str, str] | None = None,
        content_type: str | None = None,
        uploaded_after: datetime | None = None,
        uploaded_before: datetime | None = None,
        sha256: str | None = None,
        limit: int | None = None,
    ) -> AsyncIterator[FileRecord]:
        parameters = records.search_parameters(
            query=query,
            tags=tags,
            collection=collection,
            metadata=metadata or {},
            content_type=content_type,
            uploaded_after=uploaded_after,
            uploaded_before=uploaded_before,
            sha256=sha256,
        )
        return self._walk(records.RecordPages(self._calls, records.SEARCH, parameters, limit))

    async def update(
        self,
        file_id: str,
        *,
        tags: Sequence[str] | None = None,
        metadata: Mapping[str, Any] | None = None,
        expected_revision: int | None = None,
    ) -> FileRecord:
        change = records.change_of(tags, metadata, expected_revision)
        return await self._transport.run(records.update(self._calls, file_id, change))

    async def delete(self, file_id: str) -> FileRecord:
        return await self._transport.run(records.delete(self._calls, file_id))

    async def restore(self, file_id: str) -> Restore:
        return await self._transport.run(records.restore(self._calls, "POST", file_id))

    async def restore_status(self, file_id: str) -> Restore:
        return await self._transport.run(records.restore(self._calls, "GET", file_id))

    async def receipt(self, file_id: str) -> str:
        return await self._transport.run(receipts.receipt(self._calls, file_id))

    async def receipt_keys(self) -> bytes:
        return await self._transport.run(receipts.receipt_keys(self._calls))

    async def token(self) -> str:
        return (await self._transport.run(self._calls.token())).access_token

    async def call(
        self,
        method: str,
        path: str,
        *,
        parameters: Mapping[str, str] | None = None,
        body: object | None = None,
    ) -> Any:
        flow = records.call_json(self._calls, method, path, list((parameters or {}).items()), body)
        return await self._transport.run(flow)

    def items(
        self, path: str, parameters: Mapping[str, str] | None = None
    ) -> AsyncIterator[dict[str, Any]]:
        parameter_list = list((parameters or {}).items())
        return self._walk(records.ObjectPages(self._calls, path, parameter_list))

    async def _walk(self, pages: records.Pages[Item]) -> AsyncIterator[Item]:
        while not pages.ended:
            for record in await self._transport.run(pages.next()):
                yield record
