"""Guessing gets slow, whether Valkey answers, is away or hangs; and nobody is locked out."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import uuid4

import pytest
from tests.support.processes import short_folder
from tests.support.valkey import TestValkey

from artstore.admin.repository.counters import MemoryCounters, ValkeyCounters
from artstore.admin.repository.valkey import Valkey
from artstore.admin.services.identity.throttle import (
    ADDRESS_LIMIT,
    EVERYWHERE_LIMIT,
    PAIR_LIMIT,
    WINDOW_S,
    Attempt,
    Limit,
    Throttle,
)
from artstore.core.errors import TooManyRequests, Unavailable
from artstore.core.metrics import REGISTRY
from artstore.core.secrets.chain import fixed_login


@dataclass
class MovableClock:
    moment: datetime = field(default_factory=lambda: datetime(2026, 11, 22, 12, tzinfo=UTC))
    elapsed_s: float = 1000.0

    def now(self) -> datetime:
        return self.moment

    def monotonic_s(self) -> float:
        return self.elapsed_s

    def advance(self, seconds: float) -> None:
        self.moment += timedelta(seconds=seconds)
        self.elapsed_s += seconds


def throttle_on(valkey: Valkey, clock: MovableClock) -> Throttle:
    return Throttle(valkey, ValkeyCounters(valkey.client), MemoryCounters(clock), clock)


@dataclass
class UnderTest:
    throttle: Throttle
    clock: MovableClock
    valkey: Valkey


@pytest.fixture
async def nobody_listens() -> AsyncIterator[str]:
    with short_folder() as folder:
        yield f"unix://{folder}/valkey.sock"


@dataclass
class Hanging:
    url: str
    connections: int = 0


@pytest.fixture
async def hanging() -> AsyncIterator[Hanging]:
    """Takes connections and never says a word."""

    async def wait(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        server_side.connections += 1
        await reader.read()
        writer.close()

    with short_folder() as folder:
        path = Path(folder) / "valkey.sock"
        server_side = Hanging(f"unix://{path}")
        server = await asyncio.start_unix_server(wait, path)
        yield server_side
        server.close()


@pytest.fixture(params=["up", "away", "hanging"])
async def under_test(
    request: pytest.FixtureRequest, valkey_server: TestValkey, nobody_listens: str, hanging: Hanging
) -> AsyncIterator[UnderTest]:
    urls = {"up": valkey_server.bare_url, "away": nobody_listens, "hanging": hanging.url}
    url = urls[request.param]
    clock = MovableClock()
    valkey = Valkey(url, valkey_server.username, fixed_login(valkey_server.password), None, clock)
    yield UnderTest(throttle_on(valkey, clock), clock, valkey)
    await valkey.close()


def address() -> str:
    number = uuid4().int
    return f"10.{number % 251}.{number // 251 % 251}.{number // 63001 % 251}"


async def refusals(throttle: Throttle, attempts: list[Attempt]) -> int:
    results = [
        (await asyncio.gather(throttle.admit(attempt), return_exceptions=True))[0]
        for attempt in attempts
    ]
    refused = [result for result in results if isinstance(result, TooManyRequests)]
    assert all(result.retry_after_s for result in refused)
    assert results.count(None) == len(results) - len(refused)
    return len(refused)


async def test_failures_of_one_pair_slow_it_down(under_test: UnderTest) -> None:
    attempt = Attempt(uuid4().hex, address())
    assert await refusals(under_test.throttle, [attempt] * PAIR_LIMIT.free) == 0
    # The next one is let through and starts the wait.
    assert await refusals(under_test.throttle, [attempt] * 5) == 4


async def test_the_owner_from_elsewhere_is_not_held_up(under_test: UnderTest) -> None:
    account = uuid4().hex
    stranger, owner = Attempt(account, address()), Attempt(account, address())
    await refusals(under_test.throttle, [stranger] * 20)
    assert await refusals(under_test.throttle, [owner] * PAIR_LIMIT.free) == 0


async def test_an_address_that_tries_many_accounts_is_slowed_down(under_test: UnderTest) -> None:
    source = address()
    spray = [Attempt(uuid4().hex, source) for _ in range(ADDRESS_LIMIT.free + 10)]
    assert await refusals(under_test.throttle, spray) == 9


async def test_who_came_in_before_is_not_held_up_by_others_at_the_address(
    under_test: UnderTest,
) -> None:
    source = address()
    known = Attempt(uuid4().hex, source)
    await under_test.throttle.admit(known)
    await under_test.throttle.succeeded(known)
    await refusals(
        under_test.throttle,
        [Attempt(uuid4().hex, source) for _ in range(ADDRESS_LIMIT.free + 10)],
    )
    assert await refusals(under_test.throttle, [known] * PAIR_LIMIT.free) == 0


async def test_codes_are_not_guessed_from_everywhere(under_test: UnderTest) -> None:
    """With one address for each few guesses; and the owner comes in from where they were before."""
    account = uuid4().hex
    owner = Attempt(account, address(), counts_everywhere=True)
    await under_test.throttle.admit(owner)
    await under_test.throttle.succeeded(owner)
    guesses = [
        Attempt(account, f"2001:db8:{number:x}::1", counts_everywhere=True)
        for number in range(EVERYWHERE_LIMIT.free + 10)
    ]
    assert await refusals(under_test.throttle, guesses) == 9
    assert await refusals(under_test.throttle, [owner] * PAIR_LIMIT.free) == 0
    password = Attempt(account, address())
    assert await refusals(under_test.throttle, [password]) == 0


async def test_success_forgets_the_failures(under_test: UnderTest) -> None:
    attempt = Attempt(uuid4().hex, address())
    for _ in range(4):
        assert await refusals(under_test.throttle, [attempt] * PAIR_LIMIT.free) == 0
        await under_test.throttle.succeeded(attempt)


async def test_successes_use_up_no_budget_of_the_address(under_test: UnderTest) -> None:
    source = address()
    for _ in range(ADDRESS_LIMIT.free + 20):
        attempt = Attempt(uuid4().hex, source)
        assert await refusals(under_test.throttle, [attempt]) == 0
        await under_test.throttle.succeeded(attempt)


async def test_failures_are_forgotten_in_time(under_test: UnderTest) -> None:
    attempt = Attempt(uuid4().hex, address())
    await refusals(under_test.throttle, [attempt] * PAIR_LIMIT.free)
    under_test.clock.advance(2 * WINDOW_S)
    assert await refusals(under_test.throttle, [attempt] * PAIR_LIMIT.free) == 0


async def test_guesses_sent_at_once_do_not_slip_through(under_test: UnderTest) -> None:
    attempt = Attempt(uuid4().hex, address())
    admissions = await asyncio.gather(
        *(under_test.throttle.admit(attempt) for _ in range(100)), return_exceptions=True
    )
    refused = sum(isinstance(result, TooManyRequests) for result in admissions)
    # A Valkey that seems away for a moment, on a busy machine, gives a second budget: ours.
    assert refused >= 100 - 2 * (PAIR_LIMIT.free + 1)


async def test_the_metric_says_whether_valkey_answers(
    under_test: UnderTest, request: pytest.FixtureRequest
) -> None:
    is_up = "up" in request.node.callspec.id.split("-")
    try:
        await under_test.valkey.check()
    except Unavailable:
        assert not is_up
    assert REGISTRY.get_sample_value("artstore_redis_up") == float(is_up)


async def test_only_the_first_waits_for_a_valkey_that_hangs(
    valkey_server: TestValkey, hanging: Hanging
) -> None:
    clock = MovableClock()
    valkey = Valkey(
        hanging.url, valkey_server.username, fixed_login(valkey_server.password), None, clock
    )
    throttle = throttle_on(valkey, clock)
    await throttle.admit(Attempt("a", "10.0.0.1"))
    assert hanging.connections == 1
    for _ in range(3):
        await throttle.admit(Attempt("a", "10.0.0.1"))
    assert hanging.connections == 1
    clock.advance(60)
    await throttle.admit(Attempt("a", "10.0.0.1"))
    assert hanging.connections == 2
    await valkey.close()


def test_delays_double_up_to_their_limit() -> None:
    limit = Limit(free=2, delay_max_s=5)
    delays = [limit.delay_s(failures) for failures in (1, 2, 3, 4, 5, 6, 10_000)]
    assert delays == [0, 0, 1, 2, 4, 5, 5]


@pytest.mark.parametrize(
    ("first", "second", "same"),
    [
        ("192.0.2.1", "192.0.2.2", False),
        ("::ffff:192.0.2.1", "192.0.2.1", True),
        ("2001:db8::1", "2001:db8::ffff", True),
        ("2001:db8:0:1::1", "2001:db8:0:2::1", False),
        ("not an address", "neither is this", True),
    ],
)
def test_addresses_of_one_owner_count_as_one(first: str, second: str, *, same: bool) -> None:
    assert (Attempt("a", first).network == Attempt("a", second).network) is same
