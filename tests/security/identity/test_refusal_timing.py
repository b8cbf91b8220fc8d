"""Goal: neither the words nor the time of a refusal tell whether somebody exists.

Method: each way not to get in, in random turns, against a real admin module, each time from an
address of its own. All have one body. Welch's t between the times of any two ways stays below 4.5
(the usual bound for leaks, ISO 17825).

One argon2 takes a hundred times as long as everything around it, and its noise hides what the rest
may tell. So most samples are taken where argon2 takes half a millisecond (`cheap_argon2`; the code
is the same): that is stricter about all the rest, and takes minutes. A twentieth is taken as the
module really runs, which shows that its argon2 takes as long for nobody as for anybody.

Times mean something only in numbers: `make test-timing` takes 20,000 samples; here a few compare
the words alone.
"""

import math
import os
import random
import secrets
import statistics
import time
from collections.abc import Iterator
from itertools import combinations
from typing import Any

import httpx2
import pytest
from tests.support.admin import Admin, Installation
from tests.support.people import AUTH, PASSWORD, Person
from tests.support.summary import Tell

SAMPLES = int(os.environ.get("ARTSTORE_TIMING_SAMPLES", "0"))
IS_MEASURED = SAMPLES > 0
WORDS_ONLY = 14
PROGRAMS = {"cheap argon2": "tests.support.cheap_argon2", "argon2 as it runs": None}
SHARES = {"cheap argon2": 1, "argon2 as it runs": 20}
LEAK_T = 4.5
ACCOUNTS = "/api/v1/service-accounts"
Ask = tuple[str, dict[str, Any]]
Times = dict[str, list[float]]


@pytest.fixture(scope="module", params=PROGRAMS)
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def admin(identity_installation: Installation, kind: str) -> Iterator[Admin]:
    with identity_installation.serve("admin-timing", PROGRAMS[kind]) as running:
        yield running


@pytest.fixture(scope="module")
def ways(admin: Admin) -> dict[str, Ask]:
    """Not to get in. Names that nobody has are as long as those that somebody has."""
    person, suspended = Person.new(admin, "readonly"), Person.new(admin, "readonly")
    active, stopped, nobody = (f"timing-{secrets.token_hex(4)}" for _ in range(3))
    with admin.as_account() as client:
        for name in (active, stopped):
            made = client.post(ACCOUNTS, json={"client_id": name, "role": "readonly"}).json()
        assert client.delete(f"{ACCOUNTS}/{stopped}").status_code == 200
        assert client.delete(f"/api/v1/users/{suspended.user_id}").status_code == 200
    return {
        "person: nobody": _login(f"person-{secrets.token_hex(4)}", PASSWORD + "x"),
        "person: wrong password": _login(person.username, PASSWORD + "x"),
        "person: suspended, right password": _login(suspended.username, PASSWORD),
        "person: suspended, wrong password": _login(suspended.username, PASSWORD + "x"),
        "account: nobody": _token(nobody, "x" * 43),
        "account: wrong secret": _token(active, "x" * 43),
        "account: suspended, right secret": _token(stopped, made["client_secret"]),
    }


def _login(username: str, password: str) -> Ask:
    return f"{AUTH}/login", {"json": {"username": username, "password": password}}


def _token(client_id: str, secret: str) -> Ask:
    form = {"grant_type": "client_credentials", "client_id": client_id, "client_secret": secret}
    return "/api/v1/auth/token", {"data": form}


def _turns(ways: dict[str, Ask], samples: int) -> Iterator[str]:
    """Each way once a round, in an order of its own: whatever slows the machine down for a while
    slows all of them."""
    for _ in range(math.ceil(samples / len(ways))):
        yield from random.sample(list(ways), len(ways))


def _refused(client: httpx2.Client, ask: Ask) -> tuple[httpx2.Response, float]:
    path, body = ask
    # The edge's word for where it came from; no other test's attempts, nor our own, slow it down.
    address = {"X-Forwarded-For": ".".join(str(byte) for byte in secrets.token_bytes(4))}
    started_s = time.perf_counter()
    answer = client.post(path, headers=address, **body)
    return answer, time.perf_counter() - started_s


def test_a_refusal_tells_nothing(admin: Admin, ways: dict[str, Ask], kind: str, tell: Tell) -> None:
    bodies: dict[str, set[str]] = {"person": set(), "account": set()}
    times: Times = {name: [] for name in ways}
    with admin.client() as client:
        for name in _turns(ways, SAMPLES // SHARES[kind] if IS_MEASURED else WORDS_ONLY):
            answer, taken_s = _refused(client, ways[name])
            assert answer.status_code == 401, answer.text
            told = {k: v for k, v in answer.json().items() if k != "correlation_id"}
            bodies[name.partition(":")[0]].add(str(sorted(told.items())))
            times[name].append(taken_s)
    assert {kind: len(found) for kind, found in bodies.items()} == {"person": 1, "account": 1}
    if IS_MEASURED:
        found = report(times)
        tell(f"{kind}\n{found}")
        assert [t for t in leaks(times).values() if abs(t) >= LEAK_T] == [], found


def leaks(times: Times) -> dict[tuple[str, str], float]:
    """Welch's t of each two ways of one kind."""
    return {
        (one, other): welch(times[one], times[other])
        for one, other in combinations(times, 2)
        if one.partition(":")[0] == other.partition(":")[0]
    }


def report(times: Times) -> str:
    lines = [
        f"{statistics.fmean(found) * 1000:9.3f} ms +- {statistics.stdev(found) * 1000:.3f}, "
        f"median {statistics.median(found) * 1000:.3f}, {len(found)} times: {name}"
        for name, found in times.items()
    ]
    lines += [f"{t:+9.2f}    {one} / {other}" for (one, other), t in leaks(times).items()]
    return "\n".join(lines)


def welch(first: list[float], second: list[float]) -> float:
    spread = statistics.variance(first) / len(first) + statistics.variance(second) / len(second)
    return (statistics.fmean(first) - statistics.fmean(second)) / math.sqrt(spread)


def test_the_measure_finds_a_leak() -> None:
    """A twentieth of what one argon2 takes, in the noise of a whole one."""
    noise = random.Random(7)
    slow = [noise.gauss(0.137, 0.03) for _ in range(5000)]
    fast = [noise.gauss(0.130, 0.03) for _ in range(5000)]
    assert abs(welch(slow, fast)) > LEAK_T
    assert abs(welch(fast[::2], fast[1::2])) < LEAK_T
