"""Is it ready? Asked of each kind of process, from outside and without its libraries."""

import asyncio
import ssl
from pathlib import Path
from typing import Final

from artstore.local.ports import LISTEN_ADDRESS

PROBE_TIMEOUT_S: Final = 5.0
_STATUS_LINE_BYTES_MAX: Final = 4096


def trusting(ca_file: Path) -> ssl.SSLContext:
    """Trusts our own authority and shows no certificate: health is open to anyone."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.load_verify_locations(ca_file)
    return context


async def http_status(port: int, path: str, context: ssl.SSLContext | None) -> int | None:
    """The status of a GET, `None` when nobody answers in time. Without `context`, no TLS."""
    try:
        async with asyncio.timeout(PROBE_TIMEOUT_S):
            return await _ask(port, path, context)
    except (OSError, TimeoutError, ValueError):
        return None


async def accepts(socket: Path) -> bool:
    """Whether a server listens on a UNIX socket."""
    try:
        async with asyncio.timeout(PROBE_TIMEOUT_S):
            _, writer = await asyncio.open_unix_connection(socket)
    except (OSError, TimeoutError):
        return False
    await _close(writer)
    return True


async def _ask(port: int, path: str, context: ssl.SSLContext | None) -> int:
    reader, writer = await asyncio.open_connection(
        LISTEN_ADDRESS, port, ssl=context, limit=_STATUS_LINE_BYTES_MAX
    )
    try:
        request = (
            f"GET {path} HTTP/1.1\r\nHost: {LISTEN_ADDRESS}:{port}\r\nConnection: close\r\n\r\n"
        )
        writer.write(request.encode())
        status_line = await reader.readline()
        return int(status_line.split(b" ")[1])
    except IndexError:
        raise ConnectionResetError("no status line") from None
    finally:
        await _close(writer)


async def _close(writer: asyncio.StreamWriter) -> None:
    # The answer is read; how the other side ends the connection does not matter.
    writer.transport.abort()
    await asyncio.sleep(0)
