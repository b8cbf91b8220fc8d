"""What the server makes of bytes: requests for the application, or a refusal."""

import asyncio

import pytest
from starlette.types import Receive, Scope, Send
from tests.support.wire import CHUNKED_HEAD, GET, REQUEST, Make, answering, echo, sized

from artstore.core.web.connection import HEAD_BYTES_MAX
from artstore.core.web.cycle import UNREAD_BYTES_MAX
from artstore.core.web.hot import ARRIVED_EXTENSION


async def test_a_body_that_came_with_its_head_is_taken_at_once(wire: Make) -> None:
    async def application(scope: Scope, receive: Receive, send: Send) -> None:
        assert scope["extensions"][ARRIVED_EXTENSION]() == b"bytes"
        assert scope["extensions"][ARRIVED_EXTENSION]() is None
        await answering(b"", headers=sized(0))(scope, receive, send)

    assert (await wire(application).say(REQUEST)).startswith(b"HTTP/1.1 200 OK\r\n")


async def test_a_request_may_come_byte_by_byte(wire: Make) -> None:
    answer = await wire(echo).say(*(REQUEST[at : at + 1] for at in range(len(REQUEST))))

    assert answer.endswith(b"\r\n\r\n/api/v1/files bytes")


async def test_a_target_is_read_as_asgi_has_it(wire: Make) -> None:
    scopes: list[Scope] = []

    async def application(scope: Scope, receive: Receive, send: Send) -> None:
        scopes.append(scope)
        await answering(b"")(scope, receive, send)

    await wire(application).say(GET, b"GET http://x/y HTTP/1.1\r\nHost: x\r\nX-A: B\r\n\r\n")

    first, second = scopes
    assert (first["path"], first["raw_path"]) == ("/a b", b"/a%20b")
    assert first["query_string"] == b"c=%64"
    assert second["path"] == "/y"
    assert second["headers"] == [(b"host", b"x"), (b"x-a", b"B")]


async def test_requests_that_come_at_once_are_answered_in_their_order(wire: Make) -> None:
    peer = wire(echo)

    answer = await peer.say(REQUEST + CHUNKED_HEAD + b"2\r\nxy\r\n0\r\n\r\n" + GET)

    places = [answer.index(text) for text in (b"/api/v1/files bytes", b"/c xy", b"/a b ")]
    assert places == sorted(places)
    assert peer.pause_reading.call_count == peer.resume_reading.call_count == 1


async def test_whoever_sends_more_than_is_read_has_to_wait(wire: Make) -> None:
    go_on = asyncio.Event()

    async def application(scope: Scope, receive: Receive, send: Send) -> None:
        await go_on.wait()
        await echo(scope, receive, send)

    peer = wire(application)
    peer.connection.data_received(b"PUT / HTTP/1.1\r\nHost: x\r\nContent-Length: 100000\r\n\r\n")
    peer.connection.data_received(bytes(UNREAD_BYTES_MAX + 1))
    peer.pause_reading.assert_called_once()
    peer.resume_reading.assert_not_called()
    go_on.set()

    assert len(await peer.say(bytes(100_000 - UNREAD_BYTES_MAX - 1))) > 100_000
    peer.resume_reading.assert_called_once()


async def test_whoever_expects_it_is_told_to_continue_when_the_body_is_wanted(wire: Make) -> None:
    head = REQUEST.removesuffix(b"\r\n\r\nbytes") + b"\r\nExpect: 100-continue\r\n\r\n"
    refused = await wire(answering(b"", status=403, headers=sized(0))).say(head)
    wanted = wire(echo)
    wanted.connection.data_received(head)
    await asyncio.sleep(0)

    assert refused.startswith(b"HTTP/1.1 403 ")
    assert wanted.written == b"HTTP/1.1 100 Continue\r\n\r\n"
    assert (await wanted.say(b"bytes")).count(b"HTTP/1.1 ") == 2


async def test_a_wish_for_another_protocol_is_passed_over(wire: Make) -> None:
    upgrade = b"GET /u HTTP/1.1\r\nHost: x\r\nConnection: upgrade\r\nUpgrade: h2c\r\n\r\n"

    answer = await wire(echo).say(upgrade + GET)

    assert b"/u " in answer
    assert b"/a b " in answer


@pytest.mark.parametrize(
    "request_bytes",
    [
        b"what?\r\n\r\n",
        b"GET \xff HTTP/1.1\r\nHost: x\r\n\r\n",
        b"CONNECT x:443 HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
    ],
)
async def test_what_is_no_http_is_refused(wire: Make, request_bytes: bytes) -> None:
    peer = wire(echo)

    answer = await peer.say(request_bytes)

    assert answer.startswith(b"HTTP/1.1 400 ")
    assert b"urn:artstore:problem:" in answer
    peer.close.assert_called_once()


async def test_fields_behind_a_body_are_none_of_the_request(wire: Make) -> None:
    async def application(scope: Scope, receive: Receive, send: Send) -> None:
        while (await receive())["more_body"]:
            pass
        seen.append(dict(scope["headers"]))
        await answering(b"", headers=sized(0))(scope, receive, send)

    seen: list[dict[bytes, bytes]] = []
    connection = wire(application)
    await connection.say(CHUNKED_HEAD, b"1\r\na\r\n0\r\nAuthorization: Bearer x\r\n\r\n", GET)

    assert seen == [{b"host": b"x", b"transfer-encoding": b"chunked"}, {b"host": b"x"}]


@pytest.mark.parametrize(
    ("begin", "more"),
    [
        (b"GET /", b"a" * 1000),
        (b"GET / HTTP/1.1\r\nHost: x\r\nX-Field: ", b"a" * 1000),
        (b"GET / HTTP/1.1\r\nHost: x\r\n", b"X-Field: a\r\n" * 100),
        (CHUNKED_HEAD + b"1\r\na\r\n0\r\n", b"X-Field: a\r\n" * 100),
        (CHUNKED_HEAD + b"1;", b"a" * 1000),
    ],
    ids=["target", "one field", "many fields", "trailers", "chunk extension"],
)
async def test_a_head_without_an_end_is_refused(wire: Make, begin: bytes, more: bytes) -> None:
    connection = wire(echo)
    pieces = HEAD_BYTES_MAX // len(more) + 2
    connection.connection.data_received(begin)
    for _ in range(pieces):
        assert not connection.is_closing()
        connection.connection.data_received(more)
        if connection.is_closing():
            break

    assert connection.written.startswith(b"HTTP/1.1 400 Bad Request\r\n")
    assert b"malformed_http" in connection.written


async def test_a_long_body_is_no_head(wire: Make) -> None:
    connection = wire(echo)
    body = b"a" * HEAD_BYTES_MAX
    head = b"PUT /c HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % (2 * len(body))
    answered = await connection.say(head, body, body + GET, GET)

    assert answered.count(b"HTTP/1.1 200 OK") == 3
