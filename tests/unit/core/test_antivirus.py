"""Whatever a scanner answers or fails to, only the one word stands for clean.

A scripted clamd misbehaves as a real one cannot be made to; the real one is in
tests/integration/ingester/test_virus_scan.py.
"""

import asyncio
import contextlib
import struct
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest

from artstore.core import antivirus
from artstore.core.antivirus import Answer, Scanner, beyond_limits, understood
from artstore.core.archives import Ends
from artstore.core.clock import SystemClock
from artstore.core.model.file import Scan

Behaviour = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@contextlib.asynccontextmanager
async def scanner(
    folder: Path, behaviour: Behaviour, bytes_max: int = 1000
) -> AsyncIterator[Scanner]:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError, EOFError):
            await behaviour(reader, writer)
        writer.close()

    server = await asyncio.start_unix_server(serve, folder / "s")
    async with server:
        yield Scanner(f"unix://{folder}/s", bytes_max, SystemClock())


async def read_stream(reader: asyncio.StreamReader) -> bytes:
    assert await reader.readuntil(b"\0") == b"zINSTREAM\0"
    content = b""
    while length := struct.unpack(">I", await reader.readexactly(4))[0]:
        content += await reader.readexactly(length)
    return content


def answering(answer: bytes) -> Behaviour:
    async def behaviour(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_stream(reader)
        writer.write(answer)

    return behaviour


async def verdict(
    folder: Path, behaviour: Behaviour, content: bytes = b"x"
) -> tuple[str, str | None]:
    async with scanner(folder, behaviour) as under_test:
        scan: Scan = await under_test.scan(content)
    return scan.verdict, scan.reason


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        ("stream: OK", Answer("clean")),
        ("stream: Eicar FOUND", Answer("infected", "Eicar")),
        ("stream: (null) FOUND", Answer("infected", "(null)")),
        ("stream: A FOUND FOUND", Answer("infected", "A FOUND")),
        ("stream: Heuristics.Limits.Exceeded.Max FOUND", Answer("unscanned", "archive_limits")),
        ("stream: Heuristics.Encrypted.Zip FOUND", Answer("unscanned", "encrypted")),
        ("INSTREAM size limit exceeded. ERROR", Answer("unscanned", "too_large")),
        ("stream: Can't allocate memory ERROR", Answer("unscanned", "scanner_failed")),
        ("stream: ok", Answer("unscanned", "scanner_failed")),
        ("OK", Answer("unscanned", "scanner_failed")),
        ("", Answer("unscanned", "scanner_failed")),
    ],
)  # fmt: skip
def test_what_an_answer_means(answer: str, expected: Answer) -> None:
    assert understood(answer) == expected


async def test_content_arrives_as_it_was_fed(tmp_path: Path) -> None:
    seen: list[bytes] = []

    async def behaviour(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        seen.append(await read_stream(reader))
        writer.write(b"stream: OK\0")

    async with scanner(tmp_path, behaviour) as under_test:
        stream, ends = under_test.begin(), Ends()
        for chunk in (b"abc", b"", b"def"):
            await stream.feed(chunk)
            ends.feed(chunk)
        assert (await stream.verdict(ends)).verdict == "clean"
        assert (await under_test.scan(b"")).verdict == "clean"
    assert seen == [b"abcdef", b""]


@pytest.mark.parametrize("answer", [b"", b"stream: OK", b"stream: OK\n", b"x" * 100_000 + b"\0"])
async def test_an_answer_that_is_cut_or_none_is_no_verdict(tmp_path: Path, answer: bytes) -> None:
    found, reason = await verdict(tmp_path, answering(answer))
    assert (found, reason) in {("unscanned", "scanner_away"), ("unscanned", "scanner_failed")}


async def test_a_scanner_that_closes_early_is_heard_out(tmp_path: Path) -> None:
    async def behaviour(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\0")
        writer.write(b"stream: OK\0")
        await writer.drain()
        answered.set()
        await asyncio.sleep(0.05)

    answered = asyncio.Event()
    async with scanner(tmp_path, behaviour) as under_test:
        stream = under_test.begin()
        await stream.feed(b"x")
        await asyncio.sleep(0)
        while not answered.is_set():
            await asyncio.sleep(0.001)
        await stream.feed(b"y")
        # It said OK to what it did not read.
        scan = await stream.verdict(Ends())
    assert (scan.verdict, scan.reason) == ("unscanned", "scanner_failed")


async def test_nobody_there(tmp_path: Path) -> None:
    scan = await Scanner(f"unix://{tmp_path}/none", 10, SystemClock()).scan(b"x")
    assert (scan.verdict, scan.reason, scan.is_pending) == ("unscanned", "scanner_away", True)


async def test_what_is_too_large_is_not_sent(tmp_path: Path) -> None:
    assert await verdict(tmp_path, answering(b"stream: OK\0"), bytes(1001)) == (
        "unscanned",
        "too_large",
    )


async def test_a_scanner_that_hangs_holds_nobody_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(antivirus, "VERDICT_TIMEOUT_S", 0.1)
    done = asyncio.Event()

    async def behaviour(_: asyncio.StreamReader, __: asyncio.StreamWriter) -> None:
        await done.wait()

    assert await verdict(tmp_path, behaviour) == ("unscanned", "scanner_slow")
    done.set()


async def test_senders_that_trickle_do_not_keep_others_from_being_scanned(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(antivirus, "STREAMS_MAX", 3)
    monkeypatch.setattr(antivirus, "SLOW_AFTER_S", 0.0)
    monkeypatch.setattr(antivirus, "SLOW_BYTES_PER_S", 100_000)
    monkeypatch.setattr(antivirus, "LOOK_AGAIN_S", 0.01)

    async with scanner(tmp_path, answering(b"stream: OK\0"), 10**9) as under_test:
        quick, slow, slowest = streams = [under_test.begin() for _ in range(3)]
        for stream, size in zip(streams, (10**8, 1000, 1), strict=True):
            await stream.feed(bytes(size))

        assert (await under_test.scan(b"x")).verdict == "clean"
        await slowest.feed(b"more")
        ended = await slowest.verdict(Ends())
        assert (ended.verdict, ended.reason, ended.is_pending) == (
            "unscanned",
            "scanner_slow",
            True,
        )
        for other in (quick, slow):
            assert (await other.verdict(Ends())).verdict == "clean"


async def test_the_version_names_the_signatures(tmp_path: Path) -> None:
    async def behaviour(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"ClamAV 1.4.6/27421/Wed Oct 22 09:10:11 2025\0")

    async with scanner(tmp_path, behaviour) as under_test:
        assert await under_test.look()
        assert under_test.engine == "ClamAV 1.4.6/27421"


def test_what_is_no_zip_is_within_limits() -> None:
    ends = Ends()
    ends.feed(b"that PK\x05\x06 stands in a text, not at the end of a zip" + bytes(100))
    assert beyond_limits(ends) is None
    cut = Ends()
    cut.feed(b"PK\x03\x04" + bytes(100))
    assert beyond_limits(cut) == "archive_limits"
