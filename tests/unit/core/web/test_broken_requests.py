"""Requests that two readers might understand in two ways, and bytes that are no request."""

import asyncio

import pytest
from starlette.types import Receive, Scope, Send
from tests.support.wire import CHUNKED_HEAD, GET, REQUEST, Make, echo, sized

UPGRADE_WITH = b"PUT / HTTP/1.1\r\nHost: x\r\nConnection: upgrade\r\nUpgrade: h2c\r\n%b\r\n\r\n"


@pytest.mark.parametrize(
    "request_bytes",
    [
        b"GET / HTTP/1.1\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\nHost: y\r\n\r\n",
        b"PUT / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
        b"PUT / HTTP/1.0\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        UPGRADE_WITH % b"Content-Length: 3" + b"abc",
        UPGRADE_WITH % b"Transfer-Encoding: chunked" + b"3\r\nabc\r\n0\r\n\r\n",
        REQUEST.replace(b"Length: 5", b"Length: 5, 5"),
        REQUEST.replace(b"Length: 5", b"Length: +5"),
        REQUEST.replace(b"Length: 5", b"Length : 5"),
        REQUEST.replace(b"Length: 5", b"Length: 5\r\nContent-Length: 5"),
        REQUEST.replace(b"Host: x\r\n", b"Host: x\r\nX: a\r\n folded\r\n"),
        REQUEST.replace(b"Host: x\r\n", b"Host: x\r\nX: a\n"),
        REQUEST.replace(b"Host: x\r\n", b"Host: x\r\nX: a\rY: b\r\n"),
    ],
)
async def test_what_can_be_read_in_two_ways_is_refused(wire: Make, request_bytes: bytes) -> None:
    peer = wire(echo)

    answer = await peer.say(request_bytes)

    assert answer.startswith(b"HTTP/1.1 400 ")
    peer.close.assert_called_once()


async def test_a_body_in_front_of_another_protocol_is_no_request(wire: Make) -> None:
    paths: list[str] = []

    async def application(scope: Scope, receive: Receive, send: Send) -> None:
        paths.append(scope["path"])
        await echo(scope, receive, send)

    smuggled = b"GET /smuggled HTTP/1.1\r\nHost: x\r\n\r\n"
    answer = await wire(application).say(
        UPGRADE_WITH % b"Content-Length: %d" % len(smuggled) + smuggled
    )

    assert paths == []
    assert answer.count(b"HTTP/1.1 ") == 1


async def test_bytes_behind_a_request_do_not_take_its_answer_away(wire: Make) -> None:
    peer = wire(echo)

    answer = await peer.say(REQUEST + GET + b"more than was announced")

    places = [answer.index(text) for text in (b"/api/v1/files bytes", b"/a b ", b" 400 ")]
    assert places == sorted(places)
    peer.close.assert_called_once()


async def test_a_request_that_breaks_off_in_nonsense_is_refused_in_its_turn(wire: Make) -> None:
    peer = wire(echo)

    answer = await peer.say(REQUEST + CHUNKED_HEAD + b"1\r\na\r\nnonsense", GET)

    assert answer.index(b"/api/v1/files bytes") < answer.index(b" 400 ")
    assert answer.count(b"HTTP/1.1 ") == 2
    peer.close.assert_called_once()


async def test_nonsense_in_a_body_does_not_get_into_an_answer(wire: Make) -> None:
    async def application(_: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": sized(1000)})
        await send({"type": "http.response.body", "body": b"begun", "more_body": True})
        heard.append((await receive())["type"])
        heard.append((await receive())["type"])

    heard: list[str] = []
    peer = wire(application)
    peer.connection.data_received(CHUNKED_HEAD + b"1\r\na\r\n")
    await asyncio.sleep(0)
    answer = await peer.say(b"nonsense")

    assert heard == ["http.request", "http.disconnect"]
    assert answer.endswith(b"begun")
    peer.close.assert_called_once()
