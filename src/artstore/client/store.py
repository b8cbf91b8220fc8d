"""The SDK for programs without an event loop."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO, Self

from artstore.client import receipts, records
from artstore.client.audit_log import AuditLog
from artstore.client.bodies import Source
from artstore.client.calls import Calls
from artstore.client.downloads import download
from artstore.client.messages import Answer, Progress, Request
from artstore.client.results import Download, StoredFile
from artstore.client.resumable import Resume
from artstore.client.settings import Profile, load_profile
from artstore.client.sinks import destination_of
from artstore.client.sync_transport import SyncTransport
from artstore.client.uploads import Details, upload
from artstore.core.model.file import FileRecord
from artstore.core.model.page import Item
from artstore.core.model.restored import Restore


class ArtStore:
    """One ArtStore, as one account. May be shared between threads.

    Every method raises the classes of `artstore.core.errors`: the server's own failures by
    their code, `Unavailable` when it cannot be reached after several attempts. What was
    refused for now is tried again with growing delays, uploads included; each has a key, so
    that one whose answer is lost on the way is stored once all the same.
    """

    def __init__(
        self,
        edge_url: str,
        ca_file: Path | str | None,
        client_id: str,
        client_secret: str,
        *,
        session_file: Path | None = None,
    ) -> None:
        """
        Args:
            ca_file: The only trusted authority; `None` for those of the system.
            session_file: Of a person; then there is no secret.
        """
        ca_path = Path(ca_file) if ca_file is not None else None
        self.profile = Profile(
            edge_url.rstrip("/"), ca_path, client_id, client_secret, session_file
        )
        self._calls = Calls(self.profile)
        self._transport = SyncTransport(self.profile, self._calls)
        self.audit = AuditLog(self._calls, self._transport)

    @classmethod
    def from_home(cls, home: Path | str | None = None) -> Self:
        """With the profile of `home`, or else the first found (see `load_profile`)."""
        return cls.from_profile(load_profile(home))

    @classmethod
    def from_profile(cls, profile: Profile) -> Self:
        return cls(
            profile.edge_url,
            profile.ca_file,
            profile.client_id,
            profile.client_secret,
            session_file=profile.session_file,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        failure: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        self._transport.close()

    def put(
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
        """Store a file: a path, bytes, or a binary stream from where it stands to its end.

        Args:
            filename: Kept as it is; by default the name of the path or stream.
            retention: `none`, `permanent`, a date (`2036-11-22`) or a period (`P10Y`).
            content_type: By default guessed from the name.
            progress: Called with the bytes sent so far and those in total, if known.
            idempotency_key: Of `new_idempotency_key`, to be kept before the upload by whoever
                wants to repeat it after a crash; by default one for this call.
            resume: Of a large file, sent so that it can go on where it stopped: keeps the
                address of the upload, for whoever wants to go on after a crash.

        Raises:
            OSError: The source cannot be read.
            DigestMismatch, SizeMismatch: The file was changed while it was sent.
        """
        details = Details(filename, collection, tags, metadata or {}, retention, content_type)
        flow = upload(
            self._calls,
            source,
            details,
            progress,
            idempotency_key=idempotency_key,
            resume=resume,
        )
        return self._transport.run(flow)

    def new_idempotency_key(self) -> str:
        """For one upload; good for a day. By the server's clock once there is a token."""
        return self._calls.keys.new()

    def get(
        self,
        file_id: str,
        destination: Path | str | BinaryIO,
        *,
        overwrite: bool = True,
        progress: Progress | None = None,
    ) -> Download:
        """Bring a file's content to a path or into a binary stream.

        Goes on where it stopped when the connection is cut; for a path also in a later
        process, from `<file id>.part` in the same folder. A path gets its name only after
        the sha256 was compared.

        Raises:
            DigestMismatch: What arrived is not what was stored. A stream has it already.
            FileExistsError: The path is taken and `overwrite` is false.
            OSError: The destination cannot be written.
        """
        sink = destination_of(destination, file_id, overwrite=overwrite, progress=progress)
        return self._transport.run(download(self._calls, file_id, sink))

    def info(self, file_id: str) -> FileRecord:
        return self._transport.run(records.info(self._calls, file_id))

    def files(
        self, collection: str | None = None, *, limit: int | None = None
    ) -> Iterator[FileRecord]:
        """Newest first, fetched a page at a time."""
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
    ) -> Iterator[FileRecord]:
        """Files that fulfil every condition given, fetched a page at a time."""
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

    def update(
        self,
        file_id: str,
        *,
        tags: Sequence[str] | None = None,
        metadata: Mapping[str, Any] | None = None,
        expected_revision: int | None = None,
    ) -> FileRecord:
        """Replace tags, metadata or both; `None` leaves them.

        Raises:
            RevisionConflict: The record is no longer at `expected_revision`.
        """
        change = records.change_of(tags, metadata, expected_revision)
        return self._transport.run(records.update(self._calls, file_id, change))

    def delete(self, file_id: str) -> FileRecord:
        """Remove a file; its tombstone stays and is returned.

        Raises:
            RetentionForbids: It must still be kept.
            ModeForbids: It lies on an element that deletes nothing.
        """
        return self._transport.run(records.delete(self._calls, file_id))

    def restore(self, file_id: str) -> Restore:
        """Ask for a file that lies in an archive; again is the same as once. `get` brings it
        when it is ready.

        Raises:
            NotArchived: There is nothing to restore.
        """
        return self._transport.run(records.restore(self._calls, "POST", file_id))

    def restore_status(self, file_id: str) -> Restore:
        return self._transport.run(records.restore(self._calls, "GET", file_id))

    def receipt(self, file_id: str) -> str:
        """The deposit receipt of a file once more. `put` returns it with each upload."""
        return self._transport.run(receipts.receipt(self._calls, file_id))

    def receipt_keys(self) -> bytes:
        """The key set that receipts are checked with (`artstore.core.audit.receipts.KeySet`)."""
        return self._transport.run(receipts.receipt_keys(self._calls))

    def token(self) -> str:
        """An access token that is good for a while, for other programs."""
        return self._transport.run(self._calls.token()).access_token

    def call(
        self,
        method: str,
        path: str,
        *,
        parameters: Mapping[str, str] | None = None,
        body: object | None = None,
    ) -> Any:
        """Any other route of the API: JSON in, JSON out."""
        flow = records.call_json(self._calls, method, path, list((parameters or {}).items()), body)
        return self._transport.run(flow)

    def send(self, request: Request) -> Answer:
        """One exchange; the answer is a success."""
        return self._transport.run(self._calls.call(request))

    def items(
        self, path: str, parameters: Mapping[str, str] | None = None
    ) -> Iterator[dict[str, Any]]:
        """Any other list of the API, fetched a page at a time."""
        parameter_list = list((parameters or {}).items())
        return self._walk(records.ObjectPages(self._calls, path, parameter_list))

    def _walk(self, pages: records.Pages[Item]) -> Iterator[Item]:
        while not pages.ended:
            yield from self._transport.run(pages.next())
