"""clamd, asked whether content is clean: INSTREAM, over a UNIX socket or TCP.

clamd answers OK for what it did not read, and its answer is one of two. There are three: what was
not looked at as a whole is `unscanned`, with the reason. Whatever goes wrong here ends as that;
nothing here raises into an upload.
"""

import asyncio
import re
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final, Literal
from urllib.parse import urlsplit

from artstore.core.archives import ZIP_BEGINS, Ends, ends_as_zip, read_directory
from artstore.core.clock import Clock
from artstore.core.logging import get_logger
from artstore.core.metrics import (
    ANTIVIRUS_SET_UP,
    ANTIVIRUS_SIGNATURE_AGE,
    ANTIVIRUS_UP,
    SCAN_DURATION,
    SCANS,
)
from artstore.core.model.file import Scan
from artstore.core.settings import ScannerSettings

WATCH_EVERY_S: Final = 15.0
CONNECT_TIMEOUT_S: Final = 3.0
FEED_TIMEOUT_S: Final = 10.0
"""clamd only writes to a file while bytes come."""
VERDICT_TIMEOUT_S: Final = 45.0
"""Less than a storage element waits for the end of an upload."""
STREAMS_MAX: Final = 32
"""At once, so that clamd always has threads: it should have more of them."""
LOOK_AGAIN_S: Final = 0.5
"""While somebody waits for a stream."""
SLOW_AFTER_S: Final = 5.0
SLOW_BYTES_PER_S: Final = 64 << 10
"""Whoever sends slower has no right to a stream that others wait for."""
ANSWER_BYTES_MAX: Final = 4096
REASON_CHARS_MAX: Final = 200
UNKNOWN_ENGINE: Final = "ClamAV"

ENTRIES_MAX: Final = 10_000
UNPACKED_BYTES_MAX: Final = 200 << 20
"""Of all that is in a zip: as much as clamd is set up to look at, so that it never stops unseen."""
RATIO_MAX: Final = 200
"""Of unpacked bytes to packed ones, in what unpacks to more than `RATIO_BYTES_MIN`."""
RATIO_BYTES_MIN: Final = 10 << 20

_LENGTH: Final = struct.Struct(">I")
_PIECE_BYTES: Final = 1 << 20
_VERSION: Final = re.compile(r"(ClamAV [^/\s]{1,40}(?:/\d{1,12})?)(?:/(.{1,40}))?")

Verdict = Literal["clean", "infected", "unscanned"]
_Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


@dataclass(frozen=True, slots=True)
class Answer:
    verdict: Verdict
    reason: str | None = None


class Scanner:
    """One per process. `watch` in the background."""

    def __init__(self, address: str, bytes_max: int, clock: Clock) -> None:
        """
        Args:
            address: `unix:///path` or `tcp://host:port`.
            bytes_max: Larger content is not scanned. At most clamd's own limits of streams and
                files, or it would be told to be clean unread.
        """
        self._address = urlsplit(address)
        self._clock = clock
        self._free = asyncio.Semaphore(STREAMS_MAX)
        self._open: set[ScanStream] = set()
        self._answered: bool | None = None
        self.bytes_max = bytes_max
        self.engine = UNKNOWN_ENGINE
        """With its signatures; as they were a moment ago, never newer than they are."""

    async def watch(self) -> None:
        """Keep `engine` and the metrics true, until cancelled."""
        while True:
            await self.look()
            await asyncio.sleep(WATCH_EVERY_S)

    async def look(self) -> bool:
        """Whether clamd answers."""
        try:
            async with asyncio.timeout(CONNECT_TIMEOUT_S), self._connection() as (reader, writer):
                writer.write(b"zVERSION\0")
                answer = await _read_answer(reader)
        except (OSError, EOFError, TimeoutError, ValueError) as error:
            if self._answered is not False:
                get_logger().error("virus scanner does not answer", cause=repr(error))
            self._answered = False
            ANTIVIRUS_UP.set(0)
            return False
        self._answered = True
        ANTIVIRUS_UP.set(1)
        self._note_version(answer)
        return True

    def begin(self) -> "ScanStream":
        return ScanStream(self)

    async def scan(self, content: bytes) -> Scan:
        """Of a content that is here as a whole."""
        ends = Ends()
        ends.feed(content)
        reason = beyond_limits(ends)
        if reason is not None:
            # Nor would it be worth the seconds that it takes to unpack a bomb.
            return self.outcome(Answer("unscanned", reason))
        stream = self.begin()
        await stream.feed(content)
        return await stream.verdict(ends)

    def outcome(self, answer: Answer) -> Scan:
        SCANS.labels(answer.verdict, answer.reason if answer.verdict == "unscanned" else "").inc()
        return Scan(
            engine=self.engine, verdict=answer.verdict, at=self._clock.now(), reason=answer.reason
        )

    async def open_stream(self, stream: "ScanStream") -> _Streams:
        """Raises `OSError` and `TimeoutError`. `release` it."""
        async with asyncio.timeout(FEED_TIMEOUT_S):
            await self._acquire()
        try:
            async with asyncio.timeout(CONNECT_TIMEOUT_S):
                streams = await self._connect()
        except BaseException:
            self._free.release()
            raise
        streams[1].write(b"zINSTREAM\0")
        self._open.add(stream)
        return streams

    def release(self, stream: "ScanStream", writer: asyncio.StreamWriter) -> None:
        self._open.discard(stream)
        writer.transport.abort()
        self._free.release()

    async def _acquire(self) -> None:
        while True:
            if self._free.locked():
                self._end_slowest()
            with suppress(TimeoutError):
                async with asyncio.timeout(LOOK_AGAIN_S):
                    await self._free.acquire()
                    return

    def _end_slowest(self) -> None:
        """Some dozens of senders that trickle must not keep everybody else from being scanned."""
        now_s = asyncio.get_running_loop().time()
        speeds = {stream: stream.slow_bytes_per_s(now_s) for stream in self._open}
        slow = [stream for stream, speed in speeds.items() if speed is not None]
        if slow:
            min(slow, key=lambda stream: speeds[stream] or 0.0).give_up("scanner_slow")

    async def _connect(self) -> _Streams:
        if self._address.scheme == "unix":
            return await asyncio.open_unix_connection(self._address.path)
        return await asyncio.open_connection(self._address.hostname, self._address.port)

    @asynccontextmanager
    async def _connection(self) -> AsyncIterator[_Streams]:
        streams = await self._connect()
        try:
            yield streams
        finally:
            streams[1].transport.abort()

    def _note_version(self, answer: str) -> None:
        match = _VERSION.fullmatch(answer)
        if match is None:
            return
        if match[1] != self.engine:
            get_logger().info("virus scanner", engine=match[1])
        self.engine = match[1]
        made_at = _time_of(match[2]) if match[2] else None
        if made_at is not None:
            age_s = (self._clock.now() - made_at).total_seconds()
            ANTIVIRUS_SIGNATURE_AGE.set(max(0.0, age_s))


def scanner_of(settings: ScannerSettings, clock: Clock) -> Scanner | None:
    """`None` where none is set up."""
    ANTIVIRUS_SET_UP.set(settings.antivirus_address is not None)
    if settings.antivirus_address is None:
        return None
    return Scanner(settings.antivirus_address, settings.antivirus_bytes_max, clock)


class ScanStream:
    """One content on its way to clamd. Feed all of it, then ask for the verdict; `close` if it
    does not come to that."""

    def __init__(self, scanner: Scanner) -> None:
        self._scanner = scanner
        self._streams: _Streams | None = None
        self._heard: asyncio.Task[str] | None = None
        """What clamd says. It should say nothing before it has everything."""
        self._failure: Answer | None = None
        self._fed_bytes = 0
        self._opened_at_s = 0.0
        self._waits_for_sender = False

    def slow_bytes_per_s(self, now_s: float) -> float | None:
        """`None`: it is not the sender who is slow."""
        open_s = now_s - self._opened_at_s
        if not self._waits_for_sender or open_s < SLOW_AFTER_S:
            return None
        speed = self._fed_bytes / max(open_s, 0.001)
        return speed if speed < SLOW_BYTES_PER_S else None

    async def feed(self, chunk: bytes) -> None:
        self._fed_bytes += len(chunk)
        if self._failure is not None or not chunk:
            return
        if self._fed_bytes > self._scanner.bytes_max:
            self.give_up("too_large")
            return
        self._waits_for_sender = False
        await self._pass_on(chunk)
        self._waits_for_sender = True

    async def _pass_on(self, chunk: bytes) -> None:
        try:
            async with asyncio.timeout(FEED_TIMEOUT_S + CONNECT_TIMEOUT_S):
                writer = (await self._opened())[1]
                for start in range(0, len(chunk), _PIECE_BYTES):
                    piece = chunk[start : start + _PIECE_BYTES]
                    writer.write(_LENGTH.pack(len(piece)) + piece)
                await writer.drain()
        except TimeoutError:
            self.give_up("scanner_slow")
        except OSError:
            # It may have said why before it closed.
            self._failure = await self._early_answer()
            self.close()

    async def verdict(self, ends: Ends) -> Scan:
        """Of all that was fed, which began and ended with `ends`."""
        self._waits_for_sender = False
        with SCAN_DURATION.time():
            answer = await self._answer()
        self.close()
        reason = beyond_limits(ends) if answer.verdict == "clean" else None
        if reason is not None:
            answer = Answer("unscanned", reason)
        return self._scanner.outcome(answer)

    def close(self) -> None:
        if self._heard is not None:
            self._heard.cancel()
        if self._streams is not None:
            self._scanner.release(self, self._streams[1])
            self._streams = None

    async def _answer(self) -> Answer:
        if self._failure is not None:
            return self._failure
        try:
            async with asyncio.timeout(VERDICT_TIMEOUT_S):
                writer = (await self._opened())[1]
                if self._heard is not None and self._heard.done():
                    return await self._early_answer()
                writer.write(_LENGTH.pack(0))
                return understood(await self._listened())
        except TimeoutError:
            return Answer("unscanned", "scanner_slow")
        except (OSError, EOFError):
            return Answer("unscanned", "scanner_away")
        except ValueError:
            return Answer("unscanned", "scanner_failed")

    async def _opened(self) -> _Streams:
        if self._streams is None:
            self._streams = await self._scanner.open_stream(self)
            self._opened_at_s = asyncio.get_running_loop().time()
            self._heard = asyncio.create_task(_read_answer(self._streams[0]))
            # Looked at, whether anybody asks for it or not.
            self._heard.add_done_callback(lambda task: task.cancelled() or task.exception())
        return self._streams

    async def _listened(self) -> str:
        assert self._heard is not None, "it is opened"
        return await self._heard

    async def _early_answer(self) -> Answer:
        """What was not read to its end is not clean, whatever clamd says."""
        answer = Answer("unscanned", "scanner_away")
        if self._heard is not None:
            with suppress(OSError, EOFError, TimeoutError, ValueError):
                async with asyncio.timeout(CONNECT_TIMEOUT_S):
                    answer = understood(await self._heard)
        return answer if answer.verdict != "clean" else Answer("unscanned", "scanner_failed")

    def give_up(self, reason: str) -> None:
        self._failure = Answer("unscanned", reason)
        self.close()


def beyond_limits(ends: Ends) -> str | None:
    """Why a zip cannot have been scanned as a whole; `None`: it can, or it is none."""
    tail = ends.tail
    if not ends.head.startswith(ZIP_BEGINS) and not ends_as_zip(tail):
        return None
    entries = read_directory(tail)
    if entries is None:
        return "archive_limits"
    if any(entry.is_encrypted for entry in entries):
        return "encrypted"
    unpacked = sum(entry.unpacked_bytes for entry in entries)
    too_tight = any(
        entry.unpacked_bytes > max(RATIO_BYTES_MIN, RATIO_MAX * entry.packed_bytes)
        for entry in entries
    )
    if too_tight or unpacked > UNPACKED_BYTES_MAX or len(entries) > ENTRIES_MAX:
        return "archive_limits"
    return None


def understood(answer: str) -> Answer:
    """What clamd's answer to a stream means. Only the one word stands for clean."""
    if answer == "stream: OK":
        return Answer("clean")
    match = re.fullmatch(r"stream: (.+) FOUND", answer)
    if match is None:
        too_large = "size limit exceeded" in answer
        return Answer("unscanned", "too_large" if too_large else "scanner_failed")
    name = match[1][:REASON_CHARS_MAX]
    if name.startswith("Heuristics.Limits.Exceeded"):
        return Answer("unscanned", "archive_limits")
    if name.startswith("Heuristics.Encrypted"):
        return Answer("unscanned", "encrypted")
    return Answer("infected", name)


async def _read_answer(reader: asyncio.StreamReader) -> str:
    """Raises `EOFError`: it is cut; `ValueError`: it is none."""
    try:
        data = await reader.readuntil(b"\0")
    except asyncio.LimitOverrunError as error:
        raise ValueError("the answer is too long") from error
    if len(data) > ANSWER_BYTES_MAX:
        raise ValueError("the answer is too long")
    return data[:-1].decode("ascii", "replace").strip()


def _time_of(text: str) -> datetime | None:
    with suppress(ValueError):
        return datetime.strptime(text.strip(), "%a %b %d %H:%M:%S %Y").replace(tzinfo=UTC)
    return None
