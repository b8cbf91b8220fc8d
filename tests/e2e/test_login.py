"""People at a terminal: led through their first sign-in, signed in again, signed out."""

import json
import os
import re
import secrets
import stat
import subprocess
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx2
import pyotp
import pytest
from tests.support.people import PASSWORD
from tests.support.stack import RunningStack
from tests.support.terminal import AtTerminal, at_terminal

SECRET = re.compile(r"type the secret: ([A-Z2-7]+)")


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A place of this person's own: no state directory is near."""
    (tmp_path / "home").mkdir(mode=0o700)
    return tmp_path / "home"


def environment(home: Path) -> dict[str, str]:
    return {"ARTSTORE_HOME": str(home)}


def run(home: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "artstore.cli", *arguments],
        env=os.environ | environment(home),
        capture_output=True,
        text=True,
        check=False,
        stdin=subprocess.DEVNULL,
    )


def login(
    stack: RunningStack, home: Path, username: str, answers: Sequence[tuple[str, object]]
) -> AtTerminal:
    arguments = ["login", "--edge", stack.edge_url, "--ca-file", str(stack.ca_file)]
    return at_terminal([*arguments, "--username", username], environment(home), answers)  # type: ignore[arg-type]


def make_person(http: httpx2.Client) -> tuple[str, str]:
    name = f"person-{secrets.token_hex(4)}"
    made = http.post("/api/v1/users", json={"username": name, "role": "admin"})
    assert made.status_code == 201, made.text
    return name, made.json()["password"]


def test_a_person_comes_in_stays_and_goes(
    stack: RunningStack, http: httpx2.Client, home: Path
) -> None:
    name, one_time = make_person(http)
    secret = ""

    def first_code(shown: str) -> str:
        nonlocal secret
        found = SECRET.search(shown)
        assert found is not None, shown
        secret = found[1]
        return pyotp.TOTP(secret).at(time.time() - 30)

    first = login(
        stack,
        home,
        name,
        [
            (f"password of {name}", one_time),
            ("new password", "too short"),
            ("the same again", "too short"),
            ("new password", PASSWORD),
            ("the same again", PASSWORD + "x"),
            ("new password", PASSWORD),
            ("the same again", PASSWORD),
            ("code of the app", first_code),
        ],
    )
    assert first.returncode == 0, first.shown
    assert "recovery codes" in first.shown
    assert PASSWORD not in first.shown
    assert one_time not in first.shown
    for file in home.iterdir():
        assert stat.S_IMODE(file.stat().st_mode) == 0o600, file

    # Commands act as that person, also several at once when the token has just ended.
    session = home / "login-session.json"
    kept = json.loads(session.read_text())
    session.write_text(json.dumps({**kept, "ends_at": time.time() - 1}))
    with ThreadPoolExecutor(4) as threads:
        done = list(threads.map(lambda _: run(home, "elements", "list", "--json"), range(4)))
    assert [each.returncode for each in done] == [0, 0, 0, 0], [each.stderr for each in done]
    assert json.loads(session.read_text())["refresh_token"].split(".")[1] == "2"

    access = run(home, "token").stdout.strip()
    assert json.loads(run(home, "logout", "--json").stdout) == {
        "session_ended": True,
        "forgotten": True,
    }
    assert [file.name for file in home.iterdir()] == []
    answer = http.get("/api/v1/admin-auth/me", headers={"Authorization": f"Bearer {access}"})
    assert answer.status_code == 401

    # The second time: password, a mistyped code, a right one.
    again = login(
        stack,
        home,
        name,
        [
            (f"password of {name}", PASSWORD),
            ("recovery code", "000000"),
            ("recovery code", lambda _: pyotp.TOTP(secret).now()),
        ],
    )
    assert again.returncode == 0, again.shown
    assert "not right" in again.shown
    assert run(home, "logout").returncode == 0


def test_a_wrong_password_says_so_and_keeps_nothing(
    stack: RunningStack, http: httpx2.Client, home: Path
) -> None:
    name, _ = make_person(http)
    done = login(stack, home, name, [(f"password of {name}", "wrong wrong wrong")])
    assert done.returncode == 1
    assert "invalid_credentials" in done.shown
    assert list(home.iterdir()) == []


def test_a_session_that_ended_says_what_to_do(home: Path) -> None:
    profile = {
        "edge": "https://127.0.0.1:9",
        "client_id": "anna",
        "session_file": "login-session.json",
    }
    (home / "login.json").write_text(json.dumps(profile))
    done = run(home, "token")
    assert done.returncode == 1
    assert "artstore login" in done.stderr


def test_without_a_terminal_it_says_what_to_do(home: Path) -> None:
    done = run(home, "login", "--edge", "https://127.0.0.1:9", "--username", "anna")
    assert done.returncode == 2
    assert "--client-id" in done.stderr
    neither = run(home, "login", "--edge", "https://127.0.0.1:9")
    assert neither.returncode == 2


def test_an_account_signs_in_without_a_terminal(stack: RunningStack, home: Path) -> None:
    secret_file = home.parent / "secret"
    secret_file.touch(mode=0o600)
    secret_file.write_text(stack.client_secret)
    done = run(
        home,
        "login",
        "--edge",
        stack.edge_url,
        "--ca-file",
        str(stack.ca_file),
        "--client-id",
        stack.client_id,
        "--secret-file",
        str(secret_file),
        "--json",
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["as"] == stack.client_id
    assert run(home, "token").returncode == 0
    assert json.loads(run(home, "logout", "--json").stdout)["forgotten"] is True
