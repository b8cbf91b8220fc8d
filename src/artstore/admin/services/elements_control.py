"""Orders to storage elements: mode, scrub, and taking files over from one another."""

from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass
from typing import Final, Literal

import orjson
from pydantic import BaseModel, ConfigDict, ValidationError

from artstore.admin.services.catalogue.element_client import (
    PEER,
    BrokenAnswer,
    ask,
    split_lines,
)
from artstore.core.http import Transport
from artstore.core.model.element import ElementInfo
from artstore.core.model.file import FileRecord, Sha256
from artstore.core.model.ids import FileId
from artstore.core.model.restored import RestoredCopy, RestoreTerms
from artstore.core.model.scan import ScannerState, ScanOrder
from artstore.core.model.scrub import ScrubRequest, ScrubStatus

COPY_SILENCE_MAX_S: Final = 60.0
"""An element that takes files over gives a sign of life every 10 s."""

SCANNER_TIMEOUT_S: Final = 5.0
SCAN_TIMEOUT_S: Final = 900.0


class CopyLine(BaseModel):
    """What became of one file: `status` as of an answer of HTTP."""

    model_config = ConfigDict(frozen=True)

    file_id: FileId
    status: int
    code: str | None = None
    detail: str | None = None
    side: Literal["source", "target"] | None = None
    """Whose failure it is."""
    sha256: Sha256 | None = None
    revision: int | None = None

    @property
    def is_done(self) -> bool:
        return self.status < 400


@dataclass(frozen=True)
class ModeOrder:
    mode: str
    by: str
    reason: str
    confirm: bool


class ElementControl:
    """All failures are those of `Transport.request`, and `BrokenAnswer`."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    async def scanner(self, url: str) -> ScannerState:
        return await ask(
            self._transport,
            "GET",
            f"{url}/api/v1/scanner",
            ScannerState,
            timeout_s=SCANNER_TIMEOUT_S,
        )

    async def scan(self, url: str, file_id: FileId, order: ScanOrder) -> FileRecord:
        """The element reads all of the file: that takes its time."""
        body = order.model_dump_json().encode()
        path = f"{url}/api/v1/files/{file_id}/scan"
        return await ask(
            self._transport, "POST", path, FileRecord, body=body, timeout_s=SCAN_TIMEOUT_S
        )

    async def set_mode(self, url: str, order: ModeOrder) -> ElementInfo:
        """The element has it on its disk when this returns."""
        body = {
            "mode": order.mode,
            "by": order.by,
            "reason": order.reason,
            "confirm": order.confirm,
        }
        return await ask(
            self._transport, "POST", f"{url}/api/v1/mode", ElementInfo, body=orjson.dumps(body)
        )

    async def scrub(self, url: str, request: ScrubRequest) -> ScrubStatus:
        body = request.model_dump_json(exclude_none=True).encode()
        return await ask(self._transport, "POST", f"{url}/api/v1/scrub", ScrubStatus, body=body)

    async def scrub_status(self, url: str) -> ScrubStatus:
        return await ask(self._transport, "GET", f"{url}/api/v1/scrub", ScrubStatus)

    async def restored(self, url: str, file_id: FileId) -> RestoredCopy:
        """Raises `UnknownFile`: there is none, or its time is over."""
        return await ask(self._transport, "GET", _restored(url, file_id), RestoredCopy)

    async def remove_restored(self, url: str, file_id: FileId) -> None:
        """Raises `NotReady`: by the element's clock its time is not over."""
        async with self._transport.request("DELETE", _restored(url, file_id), peer=PEER):
            pass

    async def take_over(
        self,
        url: str,
        source_url: str,
        files: Sequence[FileId],
        purpose: str,
        restore: RestoreTerms | None = None,
    ) -> AsyncGenerator[CopyLine, None]:
        """The element fetches the files itself; a line as soon as one is durable or refused."""
        order: dict[str, object] = {"source_url": source_url, "files": files, "purpose": purpose}
        if restore is not None:
            order["restore"] = restore.model_dump(mode="json")
        body = orjson.dumps(order)
        async with self._transport.request(
            "POST",
            f"{url}/api/v1/copies",
            peer=PEER,
            data=body,
            headers={"Content-Type": "application/json"},
            timeout_s=COPY_SILENCE_MAX_S,
        ) as response:
            async for line in split_lines(response.content):
                yield _parsed(line)


def _restored(url: str, file_id: FileId) -> str:
    return f"{url}/api/v1/restored/{file_id}"


def _parsed(line: bytes) -> CopyLine:
    try:
        return CopyLine.model_validate_json(line)
    except ValidationError as error:
        raise BrokenAnswer from error
