"""Goal: neither the words nor the time of a refusal tell whether somebody exists.

Method: each way not to get in, in random turns, against a real admin module, each time from an
address of its own. All have one body. Welch's t between the times of any way and those of a name
that nobody has stays below 4.5 (the usual bound for leaks, ISO 17825).

Times mean something only in numbers and on a machine that does nothing else:
`make test-timing` takes 20,000 samples, some hours; here a few compare the words alone.
"""

import math
import os
import random
import secrets
import statistics
import time
from collections.abc import Iterator
from typing import Any

import httpx2
import pytest
from tests.support.admin import Admin, Installation
from tests.support.people import AUTH, PASSWORD, Person

SAMPLES = int(os.environ.get("ARTSTORE_TIMING_SAMPLES", "28"))
TIMED_FROM = 2000
LEAK_T = 4.5
ACCOUNTS = "/api/v1/service-accounts"
Ask = tuple[str, dict[str, Any]]


@pytest.fixture(scope="module")
def admin(identity_installation: Installation) -> Iterator[Admin]:
    with identity_installation.serve("admin-timing") as running:
        yield running


@pytest.fixture(scope="module")
def ways(admin: Admin) -> dict[str, Ask]:
    """Not to get in."""
    person, suspended = Person.new(admin, "readonly"), Person.new(admin, "readonly")
    active, stopped = (f"timing-{secrets.token_hex(4)}" for _ in range(2))
    with admin.as_account() as client:
        for name in (active, stopped):
            made = client.post(ACCOUNTS, json={"client_id": name, "role": "readonly"}).json()
        assert client.delete(f"{ACCOUNTS}/{stopped}").status_code == 200
        assert client.delete(f"/api/v1/users/{suspended.user_id}").status_code == 200
    return {
        "person: nobody": _login("nobody", PASSWORD),
        "person: wrong password": _login(person.username, PASSWORD + "x"),
        "person: suspended, right password": _login(suspended.username, PASSWORD),
        "person: suspended, wrong password": _login(suspended.username, PASSWORD + "x"),
        "account: nobody": _token("nobody", "x" * 43),
        "account: wrong secret": _token(active, "x" * 43),
        "account: suspended, right secret": _token(stopped, made["client_secret"]),
    }


def _login(username: str, password: str) -> Ask:
    return f"{AUTH}/login", {"json": {"username": username, "password": password}}


def _token(client_id: str, secret: str) -> Ask:
    form = {"grant_type": "client_credentials", "client_id": client_id, "client_secret": secret}
    return "/api/v1/auth/token", {"data": form}


def _refused(admin: Admin, ask: Ask) -> tuple[httpx2.Response, float]:
    path, body = ask
    with admin.client() as client:
        client.get("/health/live")  # The connection is there before the clock runs.
        started_s = time.perf_counter()
        answer = client.post(path, **body)
        return answer, time.perf_counter() - started_s


def test_a_refusal_tells_nothing(admin: Admin, ways: dict[str, Ask]) -> None:
    bodies: dict[str, set[str]] = {"person": set(), "account": set()}
    times: dict[str, list[float]] = {name: [] for name in ways}
    turns = [name for name in ways for _ in range(SAMPLES // len(ways))]
    random.shuffle(turns)
    for name in turns:
        answer, taken_s = _refused(admin, ways[name])
        assert answer.status_code == 401, answer.text
        told = {k: v for k, v in answer.json().items() if k != "correlation_id"}
        bodies[name.partition(":")[0]].add(str(sorted(told.items())))
        times[name].append(taken_s)
    assert {kind: len(found) for kind, found in bodies.items()} == {"person": 1, "account": 1}
    if SAMPLES >= TIMED_FROM:
        found = {name: leak(times, name) for name in ways}
        assert {name: t for name, t in found.items() if abs(t) >= LEAK_T} == {}, found


def leak(times: dict[str, list[float]], name: str) -> float:
    nobody = times[f"{name.partition(':')[0]}: nobody"]
    return 0.0 if times[name] is nobody else welch(times[name], nobody)


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
