"""Flows without a network: what they ask for, given the answers they get."""

from collections.abc import Callable
from typing import Any

import pytest

from artstore.client.calls import (
    ATTEMPTS_MAX,
    DELAY_MAX_S,
    RETRY_AFTER_MAX_S,
    TOKEN_MARGIN_S,
    Backoff,
    Calls,
    query_target,
)
from artstore.client.messages import Answer, Authorize, Exchange, Flow, Pause, Request
from artstore.client.problems import failure_of
from artstore.client.settings import Profile
from artstore.core.errors import InternalError, Unavailable

TOKEN = b'{"access_token": "t%d", "token_type": "Bearer", "expires_in": %d}'


class Clock:
    now_s = 1000.0

    def __call__(self) -> float:
        return self.now_s


class Tokens:
    """Answers the token requests of a client, and counts them."""

    def __init__(self, lifetime_s: int = 1800) -> None:
        self.clock = Clock()
        self.lifetime_s = lifetime_s
        self.fetched = 0
        profile = Profile("https://x", None, "me & you", "a+b")
        self.calls = Calls(profile, self.clock)

    def run(self, flow: Flow[Any], answer: Callable[[Exchange], Answer] | None = None) -> Any:
        """Perform a flow; the steps other than token requests go to `answer`."""
        result: Any = None
        try:
            while True:
                step = flow.send(result)
                result = None
                if isinstance(step, Authorize):
                    if self.calls.fresh_token(step.stale) is None:
                        self.run(self.calls.fetch_token())
                elif isinstance(step, Exchange) and "/auth/token" in step.request.target:
                    self.fetched += 1
                    self.request = step.request
                    result = Answer(200, {}, TOKEN % (self.fetched, self.lifetime_s))
                elif isinstance(step, Exchange):
                    assert answer is not None
                    result = answer(step)
        except StopIteration as end:
            return end.value


def test_a_token_is_used_until_shortly_before_its_end() -> None:
    tokens = Tokens(lifetime_s=1800)
    assert tokens.run(tokens.calls.token()).access_token == "t1"

    tokens.clock.now_s += 1800 - TOKEN_MARGIN_S - 1
    assert tokens.run(tokens.calls.token()).access_token == "t1"

    tokens.clock.now_s += 2
    assert tokens.run(tokens.calls.token()).access_token == "t2"


def test_a_short_lived_token_is_used_at_all() -> None:
    tokens = Tokens(lifetime_s=5)

    assert tokens.run(tokens.calls.token()).access_token == "t1"


def test_credentials_are_encoded() -> None:
    tokens = Tokens()
    tokens.run(tokens.calls.token())

    assert tokens.request.body == (
        b"grant_type=client_credentials&client_id=me+%26+you&client_secret=a%2Bb"
    )
    assert "authorization" not in tokens.request.headers


def test_each_attempt_has_a_trace_of_its_own() -> None:
    tokens = Tokens()
    traces = []

    def answer(exchange: Exchange) -> Answer:
        traces.append(exchange.headers["traceparent"])
        return Answer(200 if len(traces) == 3 else 503, {})

    tokens.run(tokens.calls.call(Request("GET", "/x")), answer)

    assert len(set(traces)) == 3
    assert all(trace.startswith("00-") and len(trace) == 55 for trace in traces)


def test_delays_grow_and_stay_bounded() -> None:
    backoff = Backoff(attempts_max=20)

    delays = [backoff.after(Unavailable()).delay_s for _ in range(19)]

    assert delays[0] < 1
    assert max(delays) <= DELAY_MAX_S
    assert sum(delays[10:]) > sum(delays[:5])


def test_who_was_never_there_is_not_waited_for() -> None:
    tokens = Tokens()
    refused = Unavailable("connection refused", unreachable=True)
    request = Request("GET", "/x", with_token=False)

    first = tokens.calls.call(request)
    next(first)
    with pytest.raises(Unavailable, match="connection refused"):
        first.throw(refused)

    tokens.run(tokens.calls.token())
    later = tokens.calls.call(request)
    next(later)
    assert isinstance(later.throw(refused), Pause)


def test_giving_up_raises_the_last_failure() -> None:
    backoff = Backoff()
    for _ in range(ATTEMPTS_MAX - 1):
        backoff.after(Unavailable())

    last = Unavailable("the last")
    with pytest.raises(Unavailable, match="the last"):
        backoff.after(last)


def test_progress_starts_the_count_anew() -> None:
    backoff = Backoff()
    for _ in range(3 * ATTEMPTS_MAX):
        backoff.after(Unavailable())
        backoff.progressed()


def test_a_server_is_waited_for_as_long_as_it_asks() -> None:
    assert Backoff().after(Unavailable(retry_after_s=7)) == Pause(7.0)
    with pytest.raises(Unavailable):
        Backoff().after(Unavailable(retry_after_s=RETRY_AFTER_MAX_S + 1))


def test_a_target_is_encoded() -> None:
    assert query_target("/p", [("q", "a b&ü/"), ("q", "")]) == "/p?q=a%20b%26%C3%BC%2F&q="
    assert query_target("/p", []) == "/p"


@pytest.mark.parametrize(
    "body", [b"", b"<html>", b"[]", b'{"code": 7}', b"\xff", b'{"detail": "no code"}']
)
def test_an_answer_that_is_no_problem_document_is_understood(body: bytes) -> None:
    for content_type in ("application/problem+json", "text/html"):
        headers = {"content-type": content_type}
        assert isinstance(failure_of(Answer(502, headers, body)), Unavailable)
        assert isinstance(failure_of(Answer(500, headers, body)), InternalError)


@pytest.mark.parametrize("value", ["soon", "-1", "1.5", "Wed, 21 Oct 2026 07:28:00 GMT", "²"])
def test_a_retry_after_we_cannot_read_is_ignored(value: str) -> None:
    assert failure_of(Answer(503, {"retry-after": value})).retry_after_s is None


def test_members_named_like_arguments_do_no_harm() -> None:
    body = b'{"code": "unavailable", "detail": "d", "self": 1, "retry_after_s": 2, "cls": 3}'

    failure = failure_of(Answer(503, {"content-type": "application/problem+json"}, body))

    assert failure.detail == "d"
    assert failure.retry_after_s is None
    assert failure.fields["cls"] == 3
