"""What the server makes of what an application sends: whole answers, or none that look whole."""

import asyncio

import pytest
from tests.support.wire import GET, REQUEST, Handler, Make, answering, sized


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
