"""How long a connection lives, and what of a request outlives it."""

import asyncio
import gc
import weakref
from collections.abc import Iterator, Sequence
from typing import Any

import pytest
from starlette.types import Message, Receive, Scope, Send
from tests.support.wire import GET, REQUEST, Make, answering, echo, sized

from artstore.core.web import connection as connection_module
from artstore.core.web.hot import ARRIVED_EXTENSION


async def test_the_application_hears_that_the_client_left(wire: Make) -> None:
    heard: list[Message] = []

    async def application(_: Scope, receive: Receive, send: Send) -> None:
        heard.append(await receive())
        heard.append(await receive())
        await send({"type": "http.response.start", "status": 200})

    peer = wire(application)
    peer.connection.data_received(GET + GET)
    await asyncio.sleep(0)
    peer.connection.connection_lost(None)
    await peer.say()

    assert [message["type"] for message in heard] == ["http.request", "http.disconnect"]
    assert peer.written == b""


@pytest.mark.parametrize(
    ("request_bytes", "headers", "says"),
    [
        (GET.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n"), (), b"connection: close"),
        (GET.replace(b"HTTP/1.1", b"HTTP/1.0"), (), b"connection: close"),
        (GET, ((b"connection", b"close"),), b"connection: close"),
    ],
)
async def test_a_connection_ends_when_either_side_wants_it(
    wire: Make, request_bytes: bytes, headers: Sequence[tuple[bytes, bytes]], says: bytes
) -> None:
    peer = wire(answering(b"", headers=[*sized(0), *headers]))

    answer = await peer.say(request_bytes)

    assert answer.count(says) == 1
    peer.close.assert_called_once()


async def test_a_connection_that_ends_answers_what_it_was_asked(wire: Make) -> None:
    idle, busy = wire(echo), wire(echo)
    busy.connection.data_received(REQUEST)
    idle.connection.shutdown()
    busy.connection.shutdown()
    idle.close.assert_called_once()
    busy.close.assert_not_called()

    assert b"connection: close" in await busy.say()
    busy.close.assert_called_once()


async def test_only_who_is_idle_for_long_is_left(
    wire: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    idle, slow, busy = wire(echo), wire(echo), wire(echo)
    await idle.say(GET)
    slow.connection.data_received(GET[:9])
    busy.connection.data_received(REQUEST[:-1])
    idle.connection.close_idle()
    idle.close.assert_not_called()
    monkeypatch.setattr(connection_module, "KEEP_ALIVE_S", -1)
    for each in (idle, slow, busy):
        each.connection.close_idle()

    idle.close.assert_called_once()
    slow.close.assert_called_once()
    busy.close.assert_not_called()
    await busy.say(b"s")


@pytest.mark.usefixtures("_no_collector")
async def test_nothing_is_left_to_the_collector(wire: Make) -> None:
    left: list[weakref.ref[Any]] = []

    async def application(scope: Scope, receive: Receive, send: Send) -> None:
        scope["of this request"] = held = type("Held", (), {})()
        left.append(weakref.ref(held))
        assert scope["extensions"][ARRIVED_EXTENSION]() == b"bytes"
        await answering(b"stored", headers=sized(6))(scope, receive, send)

    peer = wire(application)
    for _ in range(3):
        await peer.say(REQUEST)

    assert [held() for held in left] == [None, None, None]


@pytest.fixture
def _no_collector() -> Iterator[None]:
    gc.collect()
    gc.disable()
    yield
    gc.enable()
