"""Goal: a call ends in the one answer it asked for, or in a failure; never in that of another.

Method: a server that says whatever bytes it is told, whole, in pieces, late or cut.
"""

import asyncio
import contextlib
import socket
import ssl
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field

import pytest
from tests.support.pki import Pki

from artstore.core import exchange
from artstore.core.errors import InternalError, NoRoom, Unavailable
from artstore.core.exchange import NotConnected
from artstore.core.http import Transport
from artstore.core.tls import TlsFiles, server_context

BODY = b"a small file"


def answer(body: bytes = b"stored", head: bytes = b"", status: bytes = b"201 Created") -> bytes:
    length = b"%d" % len(body)
    return b"HTTP/1.1 %b\r\n%bContent-Length: %b\r\n\r\n%b" % (status, head, length, body)


@dataclass
class Peer:
    """`says`: what follows each request, in pieces; `None` cuts the connection."""

    says: list[bytes | None] = field(default_factory=lambda: [answer()])
    requests: list[bytes] = field(default_factory=list)
    connections: int = 0
    open_connections: int = 0
    hurries: bool = False
    """Answers before it reads a body."""
    url: str = ""

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self.open_connections += 1
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                length = int(head.partition(b"Content-Length: ")[2].partition(b"\r")[0])
                body = b"" if self.hurries else await reader.readexactly(length)
                self.requests.append(head + body)
                for piece in self.says:
                    if piece is None:
                        writer.transport.abort()
                        break
                    writer.write(piece)
                    await writer.drain()
                    await asyncio.sleep(0)
                if self.hurries:
                    await reader.readexactly(length)
        self.open_connections -= 1
        writer.close()


@pytest.fixture
async def peer(pki: Pki) -> AsyncIterator[Peer]:
    async with serving(Peer(), pki.files("storage")) as peer:
        yield peer


@contextlib.asynccontextmanager
async def serving(peer: Peer, files: TlsFiles) -> AsyncIterator[Peer]:
    context = server_context(files)
    context.verify_mode = ssl.CERT_REQUIRED
    server = await asyncio.start_server(peer.serve, "127.0.0.1", 0, ssl=context)
    peer.url = f"https://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    yield peer
    server.close()


@pytest.fixture
async def transport(pki: Pki) -> AsyncIterator[Transport]:
    transport = Transport(pki.files("ingester"))
    yield transport
    await transport.close()


async def call(
    transport: Transport, peer: Peer, body: bytes = BODY, *, module: str = "storage", s: float = 30
) -> bytes:
    return await transport.exchange(
        "POST",
        f"{peer.url}/api/v1/files:batch",
        peer=module,
        content_type="text/plain",
        body=body,
        timeout_s=s,
    )


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(30):
        while not condition():
            await asyncio.sleep(0.005)


async def test_calls_share_a_connection(peer: Peer, transport: Transport) -> None:
    assert [await call(transport, peer) for _ in range(3)] == [b"stored"] * 3
    assert peer.connections == 1
    head, _, body = peer.requests[0].partition(b"\r\n\r\n")
    assert body == BODY
    first, *fields = head.split(b"\r\n")
    assert first == b"POST /api/v1/files:batch HTTP/1.1"
    assert {line.split(b":")[0] for line in fields} == {
        b"Host",
        b"traceparent",
        b"Content-Type",
        b"Content-Length",
    }


async def test_calls_at_a_time_have_connections_of_their_own(
    peer: Peer, transport: Transport
) -> None:
    assert await asyncio.gather(*(call(transport, peer) for _ in range(4))) == [b"stored"] * 4
    assert peer.connections == 4


@pytest.mark.parametrize(
    "says",
    [
        [bytes([byte]) for byte in answer()],
        [b"HTTP/1.1 100 Continue\r\n\r\n", answer()],
        [
            b"HTTP/1.1 201 Created\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nsto\r\n",
            b"3\r\nred\r\n0\r\n\r\n",
        ],
    ],
    ids=["byte by byte", "an interim answer first", "chunks"],
)
async def test_an_answer_in_pieces_is_put_together(
    peer: Peer, transport: Transport, says: list[bytes | None]
) -> None:
    peer.says = says
    assert [await call(transport, peer) for _ in range(2)] == [b"stored"] * 2
    assert peer.connections == 1


@pytest.mark.parametrize(
    "says",
    [
        [None],
        [answer()[:-1], None],
        [b"HTTP/1.1 201 Created\r\n\r\nstored", None],
        [b"SSH-2.0-OpenSSH_9.6\r\n"],
        [b"HTTP/1.1 201 Created\r\nContent-Length: 6\r\nContent-Length: 7\r\n\r\nstored"],
        [b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n", None],
        [b"HTTP/1.1 201 Created\r\nX: ", *[b"x" * 65536] * 20],
        [b"HTTP/1.1 201 Created\r\nContent-Length: 999999999\r\n\r\n", *[b"x" * 65536] * 20],
    ],
    ids=[
        "nothing",
        "all but a byte",
        "no length",
        "not HTTP",
        "two lengths",
        "another protocol",
        "head without end",
        "too large",
    ],
)
async def test_anything_but_an_answer_ends_call_and_connection(
    peer: Peer, transport: Transport, says: list[bytes | None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(exchange, "ANSWER_BYTES_MAX", 1 << 20)
    peer.says = says
    with pytest.raises(Unavailable) as caught:
        await call(transport, peer)
    assert type(caught.value.__cause__) is ConnectionError
    peer.says = [answer(b"the next")]
    assert await call(transport, peer) == b"the next"
    assert peer.connections == 2


@pytest.mark.parametrize(
    "says",
    [
        [answer() + answer(b"of nobody")],
        [answer() + answer(b"of nobody")[:-1]],
        [answer() + b"garbage"],
        [answer(head=b"Connection: close\r\n")],
    ],
    ids=["two answers", "one and a half", "garbage behind it", "the last one"],
)
async def test_what_cannot_be_trusted_again_is_not_used_again(
    peer: Peer, transport: Transport, says: list[bytes | None]
) -> None:
    peer.says = says
    assert await call(transport, peer) == b"stored"
    peer.says = [answer(b"the next")]
    assert await call(transport, peer) == b"the next"
    assert peer.connections == 2


async def test_what_comes_while_nobody_asks_ends_the_connection(
    peer: Peer, transport: Transport
) -> None:
    peer.says = [answer(), b"", b"", answer(b"of nobody")]
    assert await call(transport, peer) == b"stored"
    await until(lambda: peer.open_connections == 0)
    peer.says = [answer(b"the next")]
    assert await call(transport, peer) == b"the next"


async def test_a_connection_that_was_cut_meanwhile_is_not_used(
    peer: Peer, transport: Transport
) -> None:
    peer.says = [answer(), None]
    assert await call(transport, peer) == b"stored"
    await until(lambda: peer.open_connections == 0)
    peer.says = [answer(b"the next")]
    assert await call(transport, peer) == b"the next"


@pytest.mark.parametrize("says", [[], [answer()[:20]]], ids=["no answer", "half an answer"])
async def test_a_silent_peer_is_given_up(
    peer: Peer, transport: Transport, says: list[bytes | None]
) -> None:
    peer.says = says
    with pytest.raises(Unavailable):
        await call(transport, peer, s=0.05)
    await until(lambda: peer.open_connections == 0)


async def test_whoever_leaves_takes_the_connection_along(peer: Peer, transport: Transport) -> None:
    peer.says = []
    leaving = asyncio.create_task(call(transport, peer))
    await until(lambda: bool(peer.requests))
    leaving.cancel()
    with pytest.raises(asyncio.CancelledError):
        await leaving
    await until(lambda: peer.open_connections == 0)


async def test_a_peer_that_refuses_before_it_read_all_is_heard(
    peer: Peer, transport: Transport
) -> None:
    peer.hurries = True
    refusal = b'{"code":"no_room","detail":"it is full"}'
    kind = b"Content-Type: application/problem+json; charset=utf-8\r\n"
    peer.says = [answer(refusal, kind, b"507 Insufficient Storage")]
    with pytest.raises(NoRoom, match="it is full"):
        await call(transport, peer, bytes(8 << 20))
    peer.says = [answer(b"the next")]
    assert await call(transport, peer) == b"the next"


async def test_a_failure_without_a_name_is_not_the_callers(
    peer: Peer, transport: Transport
) -> None:
    peer.says = [answer(b"at 10.0.0.1", status=b"500 Oops")]
    with pytest.raises(InternalError):
        await call(transport, peer)
    peer.says = [answer(status=b"503 Later")]
    with pytest.raises(Unavailable):
        await call(transport, peer)
    assert peer.connections == 1


async def test_nobody_there_means_that_nothing_was_sent(peer: Peer, transport: Transport) -> None:
    peer.url = "https://127.0.0.1:1"
    with pytest.raises(Unavailable) as caught:
        await call(transport, peer)
    assert isinstance(caught.value.__cause__, NotConnected)


async def test_a_peer_that_shakes_no_hands_means_that_nothing_was_sent(
    transport: Transport, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(exchange, "CONNECT_TIMEOUT_S", 0.05)
    with socket.create_server(("127.0.0.1", 0)) as nobody:
        silent = Peer(url=f"https://127.0.0.1:{nobody.getsockname()[1]}")
        with pytest.raises(Unavailable) as caught:
            await call(transport, silent)
    assert isinstance(caught.value.__cause__, NotConnected)


@pytest.mark.parametrize("wrong", ["name", "authority"])
async def test_nothing_is_sent_to_a_peer_of_another_name_or_authority(
    pki: Pki, transport: Transport, wrong: str
) -> None:
    files = pki.files("query") if wrong == "name" else pki.stranger("storage")
    async with serving(Peer(), files) as other:
        with pytest.raises(Unavailable) as caught:
            await call(transport, other)
        assert isinstance(caught.value.__cause__, NotConnected)
        assert other.requests == []


async def test_a_connection_serves_no_longer_than_the_certificate_it_was_made_with(
    peer: Peer, transport: Transport, pki: Pki, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert await call(transport, peer) == b"stored"
    renewed = Transport(pki.files("ingester"))
    monkeypatch.setattr(transport, "_tls", renewed._tls)
    assert await call(transport, peer) == b"stored"
    assert peer.connections == 2
    await until(lambda: peer.open_connections == 1)
    await renewed.close()


async def test_a_connection_that_was_idle_for_long_is_not_used(
    peer: Peer, transport: Transport, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert await call(transport, peer) == b"stored"
    monkeypatch.setattr(exchange, "KEEP_ALIVE_S", 0.0)
    assert await call(transport, peer) == b"stored"
    assert peer.connections == 2
