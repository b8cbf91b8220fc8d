"""The life of a whole stack, by its commands: up, status, doctor, down, and what may happen
to it in between. The tests follow one copy through its life, so their order matters."""

import json
import os
import secrets
import signal
import socket
import ssl
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import httpx2
import psutil
import pytest
from tests.support.processes import short_folder, wait_until

from artstore.client import ArtStore
from artstore.client.settings import load_profile
from artstore.core.errors import InvalidCredentials
from artstore.local.home import Home
from artstore.local.ports import Ports, free_ports
from artstore.local.process_identity import ProcessIdentity
from artstore.local.stack import Stack

pytestmark = pytest.mark.stack

NAMES = [
    *("postgres", "valkey", "admin-1", "edit-1", "rw-1"),
    *("ingester-1", "query-1", "witness", "edge"),
]
CONTENT = secrets.token_bytes(100_000)
LIMIT_S = 120


class Copy:
    """One copy of ArtStore, driven as a person would."""

    def __init__(self, home: Path, ports: Ports) -> None:
        self.home = home
        self.ports = ports
        self.file_id = ""

    def command(self, *arguments: str) -> list[str]:
        return [sys.executable, "-m", "artstore.cli", *arguments, "--home", str(self.home)]

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            self.command(*arguments), capture_output=True, text=True, check=False, timeout=LIMIT_S
        )

    def up(self) -> None:
        done = self.run("up", "--detach", "--port-base", str(self.ports.admin))
        assert done.returncode == 0, done.stderr

    def status(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.run("status", "--json").stdout)
        return found

    def supervisor(self) -> int:
        pid: int = json.loads((self.home / "run" / "supervisor.pid").read_text())["pid"]
        return pid

    def everyone(self) -> list[psutil.Process]:
        """The supervisor and all that descend from it."""
        supervisor = psutil.Process(self.supervisor())
        return [supervisor, *supervisor.children(recursive=True)]


@pytest.fixture(scope="module")
def copy() -> Iterator[Copy]:
    with short_folder() as folder:
        copy = Copy(folder / "home", free_ports())
        yield copy
        copy.run("down")


def none_left(processes: list[psutil.Process]) -> bool:
    """A process that ended and that nobody collected yet counts as gone."""
    return not any(map(is_alive, processes))


def is_alive(process: psutil.Process) -> bool:
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def test_before_the_first_start_there_is_nothing_to_show(copy: Copy) -> None:
    done = copy.run("status")
    assert done.returncode == 1
    assert "never started" in done.stderr


def test_up_says_where_everything_is(copy: Copy) -> None:
    done = copy.run("up", "--detach", "--port-base", str(copy.ports.admin))

    assert done.returncode == 0, done.stderr
    assert f"https://127.0.0.1:{copy.ports.edge}" in done.stdout
    assert "administrator: admin" in done.stdout
    assert str(copy.home / "secrets" / "admin-password") in done.stdout
    password = (copy.home / "secrets" / "admin-password").read_text()
    assert password not in done.stdout
    for command in ("artstore put README.md", "artstore search readme", "artstore get <id>"):
        assert command in done.stdout


def test_status_shows_every_process(copy: Copy) -> None:
    status = copy.status()

    assert status.keys() == {"edge", "processes"}
    assert status["edge"] == f"https://127.0.0.1:{copy.ports.edge}"
    assert [process["name"] for process in status["processes"]] == NAMES
    for process in status["processes"]:
        assert process.keys() == {"name", "pid", "port", "health"}
        assert process["health"] == "ready"
        assert psutil.pid_exists(process["pid"])
    ports = {process["name"]: process["port"] for process in status["processes"]}
    assert ports["edge"] == copy.ports.edge
    assert ports["postgres"] is None
    assert copy.run("status").returncode == 0


def test_the_profile_is_all_that_a_client_needs(copy: Copy, tmp_path: Path) -> None:
    (tmp_path / "deed.bin").write_bytes(CONTENT)
    with ArtStore.from_home(copy.home) as store:
        copy.file_id = str(store.put(tmp_path / "deed.bin").file_id)
    assert stored(copy, tmp_path) == CONTENT


def stored(copy: Copy, folder: Path) -> bytes:
    target = folder / "back"
    with ArtStore.from_home(copy.home) as store:
        store.get(copy.file_id, target)
    return target.read_bytes()


def test_no_secret_is_in_an_environment_or_a_command_line(copy: Copy) -> None:
    words = [path.read_text().strip() for path in (copy.home / "secrets").iterdir()]
    looked_at = 0
    for process in copy.everyone():
        with suppress(psutil.NoSuchProcess):  # PostgreSQL's workers come and go
            seen = f"{process.cmdline()} {process.environ()}"
            assert not [word for word in words if word in seen], process.name()
            looked_at += 1
    assert looked_at > len(NAMES)


def test_only_the_owner_can_read_anything(copy: Copy) -> None:
    assert copy.home.stat().st_mode & 0o077 == 0
    for folder in ("secrets", "pki", "config", "log"):
        for path in (copy.home / folder).iterdir():
            assert path.stat().st_mode & 0o077 == 0, path


def test_nothing_listens_beyond_this_machine(copy: Copy) -> None:
    ours = {process.pid for process in copy.everyone()}
    sockets = [each for each in psutil.net_connections("inet") if each.pid in ours]
    tcp = {each.laddr for each in sockets if each.status == psutil.CONN_LISTEN}
    udp = {each.laddr for each in sockets if each.type == socket.SOCK_DGRAM}
    assert tcp == {("127.0.0.1", port) for _, port in copy.ports.each()}
    assert udp == {("127.0.0.1", copy.ports.edge)}, "HTTP/3"


def test_doctor_finds_nothing_wrong(copy: Copy) -> None:
    done = copy.run("doctor", "--json")
    findings = [json.loads(line) for line in done.stdout.splitlines()]
    assert done.returncode == 0, [each for each in findings if each["verdict"] == "fail"]
    checks = {finding["check"] for finding in findings}
    assert {"python", "postgres", "fsync", "clock", "permissions", "authority"} <= checks
    assert f"port {copy.ports.edge}" in checks


def test_a_second_up_says_that_it_runs_already(copy: Copy) -> None:
    before = copy.supervisor()
    for arguments in (("up",), ("up", "--detach")):
        done = copy.run(*arguments)
        assert done.returncode == 0
        assert "already running" in done.stdout
    assert copy.supervisor() == before


@pytest.mark.parametrize("name", ["edit-1", "postgres", "edge"])
def test_a_process_that_is_killed_comes_back(copy: Copy, name: str) -> None:
    victim = next(each for each in copy.status()["processes"] if each["name"] == name)
    os.kill(victim["pid"], signal.SIGKILL)

    def is_back() -> bool:
        now = next((each for each in copy.status()["processes"] if each["name"] == name), victim)
        return now["health"] == "ready" and now["pid"] != victim["pid"]

    wait_until(is_back, f"{name} coming back")


def test_children_end_with_a_supervisor_that_is_killed(copy: Copy) -> None:
    everyone = copy.everyone()
    assert len(everyone) > len(NAMES)

    os.kill(copy.supervisor(), signal.SIGKILL)

    wait_until(lambda: none_left(everyone), "the end of all processes")
    assert copy.run("status").returncode == 1
    assert {each["health"] for each in copy.status()["processes"]} == {"stopped"}


def test_the_next_up_starts_over_a_stale_pid_file_with_all_data(copy: Copy, tmp_path: Path) -> None:
    assert (copy.home / "run" / "supervisor.pid").exists()
    copy.up()
    assert stored(copy, tmp_path) == CONTENT


def test_what_leaked_ends_at_once(copy: Copy) -> None:
    """Secrets, the tokens that somebody got by them, and the keys that sign tokens."""
    with ArtStore.from_home(copy.home) as store:
        stolen, former = store.token(), store.call("GET", "/api/v1/jwt-keys")["items"]
    profile = load_profile(copy.home)
    assert is_let_in(copy, stolen)

    done = copy.run("rotate", "cli-secret", "key-encryption-key", "--leaked")

    assert done.returncode == 0, done.stderr
    wait_until(lambda: not is_let_in(copy, stolen), "the token being refused")
    with ArtStore.from_profile(profile) as thief, pytest.raises(InvalidCredentials):
        thief.token()
    with ArtStore.from_home(copy.home) as store:
        present = store.call("GET", "/api/v1/jwt-keys")["items"]
    assert {key["kid"] for key in present}.isdisjoint(key["kid"] for key in former)


def is_let_in(copy: Copy, token: str) -> bool:
    context = ssl.create_default_context(cafile=copy.home / "pki" / "ca.crt")
    url = f"https://127.0.0.1:{copy.ports.edge}/api/v1/jwt-keys"
    with httpx2.Client(verify=context, timeout=60) as client:
        answer = client.get(url, headers={"Authorization": f"Bearer {token}"})
    assert answer.status_code in {200, 401}, answer.text
    return answer.status_code == 200


def test_down_stops_everything_and_may_be_repeated(copy: Copy) -> None:
    everyone = copy.everyone()
    done = copy.run("down")
    assert done.returncode == 0
    assert none_left(everyone)
    assert not (copy.home / "run" / "supervisor.pid").exists()
    assert copy.run("down").returncode == 0


def test_a_taken_port_is_told_and_nothing_is_started(copy: Copy) -> None:
    with socket.socket() as taken:
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        taken.bind(("127.0.0.1", copy.ports.edge))
        taken.listen()
        done = copy.run("up", "--detach")
    assert done.returncode == 1
    assert f"port {copy.ports.edge} (edge) is taken by" in done.stderr
    assert f"(pid {os.getpid()})" in done.stderr
    assert "--edge-port" in done.stderr
    assert {each["health"] for each in copy.status()["processes"]} == {"stopped"}


def test_ctrl_c_in_the_foreground_stops_everything(copy: Copy) -> None:
    process = subprocess.Popen(
        copy.command("up"), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "ArtStore is ready.\n"
    everyone = copy.everyone()
    assert ProcessIdentity.of(process.pid) is not None

    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=LIMIT_S)

    assert process.returncode == 0, errors
    assert "Stopped." in errors
    assert none_left(everyone)
    log = (copy.home / "log" / "postgres.log").read_text()
    assert log.rstrip().endswith("database system is shut down")


def test_who_starts_it_from_python_leaves_nothing_uncollected(copy: Copy) -> None:
    stack = Stack(Home.at(copy.home))
    stack.start()
    assert stack.is_ready()
    pid = copy.supervisor()

    assert stack.stop()

    assert not stack.is_running
    assert not psutil.pid_exists(pid), "not even as a zombie"
    assert not stack.stop()
