"""`artstore keys` and `artstore accounts`, as an operator types them."""

import json
import os
import secrets
import subprocess
import sys
from collections.abc import Callable

import pytest
from tests.support.stack import RunningStack

Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def run(stack: RunningStack) -> Run:
    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "artstore.cli", *arguments],
            env=os.environ | {"ARTSTORE_HOME": str(stack.home)},
            capture_output=True,
            text=True,
            check=False,
        )

    return run


def objects(done: subprocess.CompletedProcess[str]) -> list[dict[str, object]]:
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_keys_are_listed_and_not_rotated_twice_in_an_hour(run: Run) -> None:
    states = [key["state"] for key in objects(run("keys", "list", "--json"))]
    assert sorted(states) == ["active", "next"]
    early = run("keys", "rotate")
    assert early.returncode == 1
    assert "not_ready" in early.stderr


def test_the_life_of_an_account(run: Run) -> None:
    name = f"scanner-{secrets.token_hex(4)}"
    made = objects(run("accounts", "create", name, "--days", "30", "--per-minute", "90", "--json"))
    assert made[0]["client_secret"]
    assert made[0]["requests_per_minute"] == 90
    granted = run("accounts", "grant", name, "photos", "--rights", "read,write", "--json")
    assert objects(granted)[0]["collection"] == "photos"
    listed = objects(run("accounts", "grants", name, "--json"))
    assert sorted(listed[0]["rights"]) == ["read", "write"]  # type: ignore[call-overload]
    assert run("accounts", "withdraw", name, "photos").returncode == 0
    freed = objects(run("accounts", "change", name, "--no-restricted", "--json"))
    assert freed[0]["restricted"] is False
    renewed = objects(run("accounts", "rotate-secret", name, "--overlap-hours", "1", "--json"))
    assert renewed[0]["previous_secret_until"]
    assert run("accounts", "end-tokens", name, "--reason", "a test", "--yes").returncode == 0
    assert objects(run("accounts", "suspend", name, "--yes", "--json"))[0]["state"] == "suspended"
    assert objects(run("accounts", "resume", name, "--json"))[0]["state"] == "active"
