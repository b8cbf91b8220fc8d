"""`artstore elements`, `collections` and `jobs`, as an operator types them, on an element of their
own beside the two of the stack."""

import json
import os
import secrets
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx2
import pytest
from tests.support.auditor import Auditor, Event
from tests.support.module_process import module_process
from tests.support.processes import wait_until
from tests.support.stack import RunningStack

from artstore.core.clock import SystemClock
from artstore.core.tls import PeerIdentity, TlsFiles

pytestmark = pytest.mark.stack
Run = Callable[..., subprocess.CompletedProcess[str]]
REFUSED, MISUSED = 1, 2


class Authority:
    """Certificates of the stack's own authority."""

    def __init__(self, stack: RunningStack) -> None:
        self._store = stack.layout.certificates

    def files(self, module: str, instance: str) -> TlsFiles:
        self._store.renew(PeerIdentity(module, instance), SystemClock().now())
        return self._store.files(instance)


@pytest.fixture(scope="module")
def run(stack: RunningStack) -> Run:
    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "artstore.cli", *arguments],
            env=os.environ | {"ARTSTORE_HOME": str(stack.home)},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )

    return run


def objects(done: subprocess.CompletedProcess[str]) -> list[dict[str, object]]:
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


@pytest.fixture(scope="module")
def element(
    stack: RunningStack, http: httpx2.Client, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[str]:
    """A third one, in mode rw; nobody places files on it before the stack's own are full."""
    name = f"spare-{secrets.token_hex(3)}"
    root: Path = tmp_path_factory.mktemp("elements") / name
    settings = {"ELEMENT_ID": name, "ROOT": root, "MODE": "rw"}
    authority = Authority(stack)
    with module_process("storage", authority, settings, f"storage-{name}") as process:  # type: ignore[arg-type]
        entry = {"element_id": name, "url": process.url, "priority": 900}
        answer = http.post("/api/v1/storage-elements", json=entry)
        assert answer.status_code == 201, answer.text
        try:
            yield name
        finally:
            http.post(f"/api/v1/storage-elements/{name}/drain", json={"on": True})
            http.delete(f"/api/v1/storage-elements/{name}")


def line_of(run: Run, element: str) -> dict[str, object]:
    listed = {item["element_id"]: item for item in objects(run("elements", "list", "--json"))}
    return listed[element]


def because(reason: str) -> Callable[[Event], bool]:
    return lambda item: item["personal"].get("reason", {}).get("value") == reason


def test_all_elements_are_listed(run: Run, element: str) -> None:
    wait_until(lambda: line_of(run, element)["state"] == "following", "the element being followed")
    table = run("elements", "list")
    assert table.returncode == 0
    words = next(line for line in table.stdout.splitlines() if element in line).split()
    assert words[1] == "rw"


def test_a_mode_is_changed_when_it_is_meant_and_the_audit_says_who(
    run: Run, element: str, http: httpx2.Client
) -> None:
    reason = f"full {secrets.token_hex(4)}"
    order = ("elements", "mode", element)
    unsure = run(*order, "ro", "--reason", reason)
    assert unsure.returncode == MISUSED
    assert "takes no more files" in unsure.stderr
    assert "--yes" in unsure.stderr
    assert line_of(run, element)["info"]["mode"] == "rw"  # type: ignore[index]

    assert objects(run(*order, "ro", "--reason", reason, "--yes", "--json"))[0]["mode"] == "ro"
    assert objects(run(*order, "rw", "--reason", reason, "--yes", "--json"))[0]["mode"] == "rw"
    never = run(*order, "edit", "--reason", reason, "--yes")
    assert never.returncode == REFUSED
    assert "mode rw does not become edit" in never.stderr

    told = Auditor(http).wait_for_all(2, because(reason), kind="element.mode_changed")
    changes = {(item["event"]["details"]["from"], item["event"]["details"]["to"]) for item in told}
    assert changes == {("rw", "ro"), ("ro", "rw")}


def test_a_scrub_is_waited_for_and_looked_at(run: Run, element: str) -> None:
    done = objects(run("elements", "scrub", element, "--rate", "50000000", "--wait", "--json"))[0]
    assert done["state"] == "idle"
    assert done["last_completed_at"] is not None
    status = run("elements", "scrub", element, "--action", "status")
    assert "was last read as a whole" in status.stdout + status.stderr
    unknown = run("elements", "scrub", element, "--action", "stop")
    assert unknown.returncode == REFUSED
    assert "action" in unknown.stderr


def test_an_element_is_drained_and_taken_off(run: Run, element: str) -> None:
    early = run("elements", "remove", element, "--yes")
    assert early.returncode == REFUSED
    assert "drain" in early.stderr

    assert objects(run("elements", "drain", element, "--wait", "--json"))[0]["drain"] == "drained"
    assert objects(run("elements", "drain", element, "--off", "--json"))[0]["drain"] == "off"
    drained = run("elements", "drain", element, "--wait")
    assert f"artstore elements remove {element}" in drained.stdout + drained.stderr

    assert run("elements", "remove", element).returncode == MISUSED
    assert run("elements", "remove", element, "--yes").returncode == 0
    listed = [item["element_id"] for item in objects(run("elements", "list", "--json"))]
    assert element not in listed
    assert run("elements", "drain", element).returncode == REFUSED


def test_a_collection_gets_its_rules_and_their_job(run: Run) -> None:
    name = f"personnel-{secrets.token_hex(3)}"
    made = objects(run("collections", "create", name, "--title", "Кадры", "--json"))[0]
    assert (made["collection"], made["copies"], made["title"]) == (name, 1, "Кадры")
    changed = run("collections", "set", name, "--copies", "2")
    assert changed.returncode == 0, changed.stderr
    assert "artstore jobs list" in changed.stdout + changed.stderr
    assert objects(run("collections", "show", name, "--json"))[0]["copies"] == 2
    assert name in [item["collection"] for item in objects(run("collections", "list", "--json"))]
    again = run("collections", "create", name)
    assert again.returncode == REFUSED
    assert "there is a collection" in again.stderr
    assert run("collections", "set", name).returncode == MISUSED

    jobs = objects(run("jobs", "list", "--json"))
    job = next(job for job in jobs if (job["kind"], job["key"]) == ("copies.collection", name))
    shown = objects(run("jobs", "show", str(job["job_id"]), "--json"))[0]
    assert (shown["kind"], shown["key"]) == (job["kind"], name)
    assert name in run("jobs", "list").stdout
    assert run("jobs", "cancel", str(job["job_id"])).returncode == MISUSED
    run("jobs", "cancel", str(job["job_id"]), "--yes")
    ended = {"done", "cancelled"}
    wait_until(
        lambda: objects(run("jobs", "show", str(job["job_id"]), "--json"))[0]["state"] in ended,
        "the end of the job",
    )
    assert run("jobs", "show", "999999999").returncode == REFUSED
