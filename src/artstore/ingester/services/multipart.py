"""A `multipart/form-data` body (RFC 7578) taken apart while it arrives.

The fields come first, then the one part `file`, so that everything about a file is known
and checked before its first byte is taken. Nothing of the file is buffered here.
"""

import re
from collections import deque
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from enum import Enum, auto
from typing import Final

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser

from artstore.core.errors import InvalidMetadata, InvalidRequest, UnsupportedMediaType
from artstore.core.model.file import ATTR_BYTES_MAX
from artstore.ingester.services.submission import FIELDS_MAX, Fields, decode_value

FILE_PART: Final = "file"
HEADER_BYTES_MAX: Final = 16 * 1024
"""A name of the most characters, all escaped, with room to spare."""

_BOUNDARY: Final = re.compile(r'boundary=(?:"([^"\r\n]{1,70})"|([^\s;"]{1,70}))', re.IGNORECASE)

# A quote inside a name comes as %22 (browsers, curl >= 7.81) or \" (older clients); any other
# backslash is part of the name, also one before the closing quote. Each character can be read
# in one way only, so that no header makes the search for a match explode.
_QUOTED = r'"((?:[^"\\]|\\(?!")|\\"(?!\s*(?:;|$)))*\\?)"'
_PARAMETER: Final = re.compile(rf'\s*;\s*([A-Za-z-]+\*?)=(?:{_QUOTED}|([^\s;"]+))')
_DISPOSITION: Final = re.compile(r"form-data\s*(?=;|$)", re.IGNORECASE)
_ESCAPES: Final = (("%22", '"'), ("%0D", "\r"), ("%0A", "\n"), ('\\"', '"'))


class _Event(Enum):
    HEAD = auto()
    DATA = auto()
    PART_END = auto()
    END = auto()


@dataclass
class PartHead:
    """The headers of a part, names in lower case."""

    headers: list[tuple[str, str]] = field(default_factory=list)
    name: str = ""
    filename: str | None = None

    def header(self, name: str) -> str | None:
        return next((value for key, value in self.headers if key == name), None)


class MultipartReader:
    """Call `read_fields` once, then iterate over `content` once."""

    def __init__(self, content_type: str, body: AsyncIterator[bytes]) -> None:
        """Args: `content_type`: the request's, `multipart/form-data; boundary=...`."""
        self._body = body
        self._events: deque[tuple[_Event, bytes]] = deque()
        self._heads: deque[PartHead] = deque()
        self._header_name = b""
        self._header_value = b""
        self._parser = MultipartParser(
            boundary_of(content_type),
            {
                "on_part_begin": lambda: self._heads.append(PartHead()),
                "on_header_field": self._on_header_name,
                "on_header_value": self._on_header_value,
                "on_header_end": self._on_header_end,
                "on_headers_finished": lambda: self._events.append((_Event.HEAD, b"")),
                "on_part_data": self._on_data,
                "on_part_end": lambda: self._events.append((_Event.PART_END, b"")),
                "on_end": lambda: self._events.append((_Event.END, b"")),
            },
            max_header_size=HEADER_BYTES_MAX,
        )

    async def read_fields(self) -> tuple[Fields, PartHead]:
        """The fields before the file, and the head of the file.

        Raises:
            InvalidRequest: The body is malformed, or has no part `file`.
            InvalidMetadata: A field is not UTF-8, or they are too many or too long.
        """
        fields: Fields = []
        room_bytes = ATTR_BYTES_MAX
        while True:
            event, _ = await self._next()
            if event is _Event.END:
                raise InvalidRequest(f"the form has no part {FILE_PART!r}", field=FILE_PART)
            head = self._named_head()
            if head.name == FILE_PART:
                return fields, head
            value = await self._read_value(room_bytes)
            room_bytes -= len(value)
            if len(fields) == FIELDS_MAX:
                raise InvalidMetadata(f"a form may have {FIELDS_MAX} fields", field=head.name)
            fields.append((head.name, decode_value(head.name, value)))

    async def content(self) -> AsyncIterator[bytes]:
        """The bytes of the file, in order. Ends only if the form ended as it should.

        Raises:
            InvalidRequest: The form is cut short, or something follows the file.
        """
        async for chunk in self._read_part():
            yield chunk
        event, _ = await self._next()
        if event is not _Event.END:
            raise InvalidRequest(f"fields must stand before the part {FILE_PART!r}")
        # What follows the last boundary means nothing, but it has to be taken off the wire.
        async for _ in self._body:
            pass

    async def _read_value(self, room_bytes: int) -> bytes:
        value = bytearray()
        async for chunk in self._read_part():
            value += chunk
            if len(value) > room_bytes:
                raise InvalidMetadata(f"fields may take {ATTR_BYTES_MAX} bytes", field="metadata")
        return bytes(value)

    async def _read_part(self) -> AsyncIterator[bytes]:
        while True:
            event, data = await self._next()
            if event is _Event.PART_END:
                return
            yield data

    async def _next(self) -> tuple[_Event, bytes]:
        while not self._events:
            chunk = await anext(self._body, None)
            if chunk is None:
                raise InvalidRequest("the form ends before its last boundary")
            try:
                self._parser.write(chunk)
            except FormParserError:
                raise InvalidRequest("the body is not valid multipart/form-data") from None
        return self._events.popleft()

    def _named_head(self) -> PartHead:
        head = self._heads.popleft()
        parameters = parse_disposition(head.header("content-disposition") or "")
        head.name = parameters.get("name", "")
        head.filename = parameters.get("filename")
        return head

    def _on_header_name(self, data: bytes, start: int, end: int) -> None:
        self._header_name += data[start:end]

    def _on_header_value(self, data: bytes, start: int, end: int) -> None:
        self._header_value += data[start:end]

    def _on_header_end(self) -> None:
        name = self._header_name.decode("latin-1").lower()
        value = decode_value(name, self._header_value)
        self._heads[-1].headers.append((name, value))
        self._header_name = self._header_value = b""

    def _on_data(self, data: bytes, start: int, end: int) -> None:
        self._events.append((_Event.DATA, data[start:end]))


def boundary_of(content_type: str) -> str:
    match = _BOUNDARY.search(content_type)
    if match is None:
        raise UnsupportedMediaType("multipart/form-data needs a boundary")
    return match[1] or match[2]


def parse_disposition(header: str) -> dict[str, str]:
    """Parameters of a part's `Content-Disposition`, as HTML forms write them.

    Raises:
        InvalidRequest: It is malformed.
    """
    start = _DISPOSITION.match(header)
    position = start.end() if start else 0
    parameters: dict[str, str] = {}
    while match := _PARAMETER.match(header, position):
        value = _unescape(match[2]) if match[3] is None else match[3]
        parameters.setdefault(match[1].lower(), value)
        position = match.end()
    if start is None or header[position:].strip():
        raise InvalidRequest("a part of the form has no valid Content-Disposition")
    return parameters


def _unescape(quoted: str) -> str:
    for escape, character in _ESCAPES:
        quoted = quoted.replace(escape, character)
    return quoted
