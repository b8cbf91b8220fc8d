"""One request and its answer, between a connection and an application (ASGI 3).

Two things are done for small requests, of which there are most: a body that came with its head is
handed over without waiting for it, and the head of an answer leaves together with the first part
of its body, in one TLS record and one system call.
"""

import asyncio
from typing import Final, Protocol

from starlette.types import ASGIApp, Message, Scope
from uvicorn.protocols.http.httptools_impl import STATUS_LINE

from artstore.core.logging import get_logger
from artstore.core.web.safe_headers import RawHeaders, with_safe_headers

UNREAD_BYTES_MAX: Final = 64 * 1024
"""Of a body that the application does not read: then the client has to wait."""
JOINED_MAX: Final = 64 * 1024
"""Bytes of a body that are worth a copy, to leave together with the head."""

_CONTINUE: Final = b"HTTP/1.1 100 Continue\r\n\r\n"
_WITHOUT_BODY: Final = frozenset({204, 304})
_SAFE: Final = with_safe_headers(())
_END: Final = b"\r\n"
_SAFE_AND_END: Final = b"".join(b"%b: %b\r\n" % field for field in _SAFE) + _END
_SAFE_PLACE: Final = slice(-len(_SAFE) - 1, -1)
"""In nearly every answer they stand before the last field, in one piece."""


class Line(Protocol):
    """The connection, as far as a cycle needs it."""

    is_write_paused: bool

    def write(self, data: bytes) -> None: ...
    def close(self) -> None: ...
    def pause_reading(self) -> None: ...
    def resume_reading(self) -> None: ...
    async def writable(self) -> None: ...
    def common_fields(self) -> RawHeaders:
        """What every answer says."""
        ...

    def answered(self, *, keeps_alive: bool) -> None:
        """The last byte of an answer was written."""
        ...


class Cycle:
    """The connection feeds it; the application gets `receive` and `send`.

    It refers to nothing that refers to it but the connection, which drops it with the next
    request: what is left over of requests must not wait for Python's collector.
    """

    __slots__ = (
        "_body",
        "_expects_continue",
        "_has_begun",
        "_head",
        "_is_head",
        "_is_read",
        "_is_whole",
        "_left_bytes",
        "_line",
        "_news",
        "_unread_bytes",
        "is_answered",
        "is_gone",
        "keeps_alive",
    )

    def __init__(
        self, line: Line, *, is_head: bool, keeps_alive: bool, expects_continue: bool
    ) -> None:
        self._line = line
        self._is_head = is_head
        self._expects_continue = expects_continue
        self.keeps_alive = keeps_alive
        """Whether the connection serves on behind this answer."""
        self.is_gone = False
        """The client left."""
        self.is_answered = False
        self._news: asyncio.Event | None = None

        self._body: list[bytes] = []
        self._unread_bytes = 0
        self._is_whole = False
        self._is_read = False

        self._head: Message | None = None
        self._has_begun = False
        self._left_bytes: int | None = None
        """Of the answer's body; `None`: nobody knows, it goes in chunks."""

    # What the connection calls.

    @property
    def is_whole(self) -> bool:
        """All of the request came."""
        return self._is_whole

    @property
    def has_begun(self) -> bool:
        """Something of the answer was written."""
        return self._has_begun

    def feed(self, data: bytes) -> None:
        if self.is_answered:
            return  # nobody wants it any more
        self._body.append(data)
        self._unread_bytes += len(data)
        if self._unread_bytes > UNREAD_BYTES_MAX:
            self._line.pause_reading()
        self._tell()

    def end(self) -> None:
        self._is_whole = True
        self._tell()

    def leave(self) -> None:
        self.is_gone = True
        self._tell()

    async def run(self, application: ASGIApp, scope: Scope) -> None:
        try:
            await application(scope, self.receive, self.send)
        except BaseException as error:  # noqa: BLE001  the edge of the task: nobody else would tell
            get_logger().error("request broke off", exc_info=error)
        if not (self.is_answered or self.is_gone):
            # Half an answer must not look like a whole one.
            self._line.close()

    # What the application calls.

    def take_arrived(self) -> bytes | None:
        """As `ARRIVED_EXTENSION` has it."""
        if not self._is_whole or self._is_read or self.is_answered or self.is_gone:
            return None
        self._is_read = True
        return self._take()

    async def receive(self) -> Message:
        if self._expects_continue and not self.is_gone:
            self._expects_continue = False
            self._line.write(_CONTINUE)
        self._line.resume_reading()
        while not (self.is_gone or self.is_answered or self._has_part()):
            await self._change()
        if self.is_gone or self.is_answered:
            return {"type": "http.disconnect"}
        self._is_read = self._is_whole
        return {"type": "http.request", "body": self._take(), "more_body": not self._is_whole}

    async def send(self, message: Message) -> None:
        if self._line.is_write_paused and not self.is_gone:
            await self._line.writable()
        if self.is_gone:
            return
        if message["type"] == "http.response.start" and not (self._has_begun or self._head):
            self._head = message
            return
        if message["type"] != "http.response.body" or self.is_answered or self._head is None:
            raise RuntimeError(f"{message['type']} has no place here in an answer")
        body, more = message.get("body", b""), message.get("more_body", False)
        if self._has_begun:
            self._line.write(self._framed(body, more=more))
        else:
            self._begin(self._head, body, more=more)
        if not more:
            self.is_answered = True
            self._tell()
            self._line.answered(keeps_alive=self.keeps_alive)

    # The request.

    def _has_part(self) -> bool:
        return bool(self._body) or (self._is_whole and not self._is_read)

    def _take(self) -> bytes:
        body, self._body, self._unread_bytes = self._body, [], 0
        self._line.resume_reading()
        return b"".join(body)

    def _tell(self) -> None:
        if self._news is not None:
            self._news.set()

    async def _change(self) -> None:
        if self._news is None:
            self._news = asyncio.Event()
        self._news.clear()
        await self._news.wait()

    # The answer.

    def _begin(self, head: Message, body: bytes, *, more: bool) -> None:
        self._has_begun = True
        self._expects_continue = False
        status = head["status"]
        fields = [*self._line.common_fields(), *head.get("headers", ())]
        end = _END
        if fields[_SAFE_PLACE] == _SAFE:
            del fields[_SAFE_PLACE]
            end = _SAFE_AND_END
        lines = [b"%b: %b\r\n" % field for field in fields]
        lines += self._framing(status, dict(fields))
        text = b"".join(lines)
        # A number: bytes in bytes are looked for behind an exception.
        if text.count(b"\n") != len(lines) or text.count(b"\r") != len(lines) or 0 in text:
            raise RuntimeError("a field of the answer breaks out of its line")
        first = self._framed(body, more=more)
        start = STATUS_LINE[status] + text + end
        if len(first) <= JOINED_MAX:
            self._line.write(start + first)
        else:
            self._line.write(start)
            self._line.write(first)

    def _framing(self, status: int, fields: dict[bytes, bytes]) -> list[bytes]:
        """What is still to be said of where the answer ends, and of what follows it."""
        lines: list[bytes] = []
        length = fields.get(b"content-length")
        if self._is_head or status in _WITHOUT_BODY:
            self._is_head = True
        elif length is not None:
            self._left_bytes = int(length)
        else:
            lines.append(b"transfer-encoding: chunked\r\n")
        wish = fields.get(b"connection")
        if wish is not None and b"close" in wish.lower():
            self.keeps_alive = False
        elif not self.keeps_alive:
            lines.append(b"connection: close\r\n")
        return lines

    def _framed(self, body: bytes, *, more: bool) -> bytes:
        if self._is_head:
            return b""
        if self._left_bytes is None:
            chunk = b"%x\r\n%b\r\n" % (len(body), body) if body else b""
            return chunk if more else chunk + b"0\r\n\r\n"
        self._left_bytes -= len(body)
        if self._left_bytes < 0 or (self._left_bytes > 0 and not more):
            raise RuntimeError("the answer has another length than its head says")
        return body
