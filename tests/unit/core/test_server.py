"""What the server makes of bytes: requests for the application, answers, and nothing else.

Method: a connection without a socket. What is written to it is looked at as it would travel.
"""

import asyncio
import gc
import weakref
from collections.abc import Awaitable, Callable, Iterator, Sequence
from typing import Any
from unittest.mock import Mock

import pytest
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from uvicorn.server import ServerState

from artstore.core.web import connection as connection_module
from artstore.core.web.connection import HEAD_BYTES_MAX, Connection, ServerConfig
from artstore.core.web.cycle import UNREAD_BYTES_MAX
from artstore.core.web.hot import ARRIVED_EXTENSION

REQUEST = b"POST /api/v1/files HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nbytes"
GET = b"GET /a%20b?c=%64 HTTP/1.1\r\nHost: x\r\n\r\n"
CHUNKED_HEAD = b"PUT /c HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"

Handler = Callable[[Scope, Receive, Send], Awaitable[None]]


class Wire(Mock):
    """The transport of a connection."""

    def __init__(self, application: ASGIApp) -> None:
        super().__init__(asyncio.Transport)
        self.is_closing.return_value = False
        self.get_extra_info.return_value = None
        self.get_write_buffer_size.return_value = 0
        self.close.side_effect = self._closed
        config = ServerConfig(application, http=Connection, ws="none", log_config=None)  # type: ignore[arg-type]
        config.load()
        self.state = ServerState()
        self.connection = Connection(config, self.state, app_state={})
        self.connection.connection_made(self)

    def _closed(self) -> None:
        self.is_closing.return_value = True

    @property
    def written(self) -> bytes:
        return b"".join(call.args[0] for call in self.write.call_args_list)

    async def say(self, *pieces: bytes) -> bytes:
        """What comes back when all that is asked has been answered."""
        for piece in pieces:
            self.connection.data_received(piece)
        while self.state.tasks:
            await asyncio.gather(*self.state.tasks)
        return self.written

    # `Mock` would make these of the same class.
    def _get_child_mock(self, **options: Any) -> Mock:
        return Mock(**options)


@pytest.fixture
def wire() -> Iterator[Callable[[ASGIApp], Wire]]:
    wires: list[Wire] = []

    def make(application: ASGIApp) -> Wire:
        wires.append(Wire(application))
        return wires[-1]

    yield make
    for each in wires:
        each.connection.connection_lost(None)


Make = Callable[[ASGIApp], Wire]


def answering(
    *bodies: bytes, status: int = 200, headers: Sequence[tuple[bytes, bytes]] = ()
) -> Handler:
    async def application(_: Scope, __: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": status, "headers": headers})
        for number, body in enumerate(bodies, start=1):
            more = number < len(bodies)
            await send({"type": "http.response.body", "body": body, "more_body": more})

    return application


def sized(size: int) -> list[tuple[bytes, bytes]]:
    return [(b"content-length", b"%d" % size)]


async def echo(scope: Scope, receive: Receive, send: Send) -> None:
    """All of the body, part by part."""
    body, more = b"", True
    while more:
        message = await receive()
        body, more = body + message["body"], message["more_body"]
    text = b"%s %s" % (scope["path"].encode(), body)
    await answering(text, headers=sized(len(text)))(scope, receive, send)


# Requests.


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


# Answers.


async def test_head_and_body_of_an_answer_are_one_write(wire: Make) -> None:
    peer = wire(answering(b"stored", status=201, headers=sized(6)))

    await peer.say(REQUEST)

    assert peer.written == b"HTTP/1.1 201 Created\r\ncontent-length: 6\r\n\r\nstored"
    peer.write.assert_called_once()


async def test_a_body_of_unknown_length_goes_in_chunks(wire: Make) -> None:
    answer = await wire(answering(b"one", b"", b"three")).say(GET)

    head, _, body = answer.partition(b"\r\n\r\n")
    assert head.endswith(b"transfer-encoding: chunked")
    assert body == b"3\r\none\r\n5\r\nthree\r\n0\r\n\r\n"


@pytest.mark.parametrize("status", [204, 304])
async def test_some_answers_have_no_body(wire: Make, status: int) -> None:
    answer = await wire(answering(b"", status=status)).say(GET)

    assert answer.startswith(b"HTTP/1.1 %d " % status)
    assert answer.endswith(b"\r\n\r\n")
    assert b"chunked" not in answer


async def test_to_head_only_the_head_is_answered(wire: Make) -> None:
    answer = await wire(answering(b"text", headers=sized(4))).say(GET.replace(b"GET", b"HEAD"))

    assert answer.endswith(b"content-length: 4\r\n\r\n")


@pytest.mark.parametrize(
    "application",
    [
        answering(b"short", headers=sized(6)),
        answering(b"abc", b"def", b"g", headers=sized(6)),
        answering(b"abc", b"de", headers=sized(6)),
        answering(b"", headers=[(b"x", b"1\r\nset-cookie: a"), *sized(0)]),
        answering(),
    ],
)
async def test_what_is_no_whole_answer_does_not_look_like_one(
    wire: Make, application: Handler
) -> None:
    peer = wire(application)

    answer = await peer.say(GET)

    peer.close.assert_called_once()
    assert b"set-cookie" not in answer
    assert not answer.endswith(b"g")


async def test_an_answer_waits_for_a_slow_reader(wire: Make) -> None:
    peer = wire(answering(b"one", b"two"))
    peer.connection.pause_writing()
    peer.connection.data_received(GET)
    await asyncio.sleep(0)
    assert peer.written == b""
    peer.connection.resume_writing()

    assert (await peer.say()).endswith(b"two\r\n0\r\n\r\n")


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


# Connections.


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
