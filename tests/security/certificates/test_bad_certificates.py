"""Goal: no certificate that is not wholly right gets an answer from any module, and every
refusal that reaches the application is in the audit log.

Method: real listeners; each certificate is made by the right authority and wrong in one thing, or
right in all but its authority. The client's own library is told to let everything pass.
"""

import json
import socket
from pathlib import Path

import pytest
from tests.security.certificates.conftest import LISTENERS, MODULES, Listeners
from tests.support.bad_certificates import (
    REFUSED_BY_NAME,
    REFUSED_IN_HANDSHAKE,
    make,
    unchanged,
)
from tests.support.processes import wait_until


def test_the_kinds_are_enough() -> None:
    assert len(REFUSED_BY_NAME) + len(REFUSED_IN_HANDSHAKE) >= 12


@pytest.mark.parametrize("listener", MODULES)
def test_the_one_that_is_right_is_taken(
    listeners: Listeners, tmp_path: Path, listener: str
) -> None:
    shown = make(listeners.pki, tmp_path, "good", unchanged)

    status = listeners.ask(listener, listeners.context(shown.certificate, shown.key))

    assert status == (200 if listener == "storage" else 404)


@pytest.mark.parametrize("listener", MODULES)
def test_what_is_not_valid_ends_the_handshake(
    listeners: Listeners, tmp_path: Path, listener: str
) -> None:
    answered = {}
    for name, recipe in REFUSED_IN_HANDSHAKE.items():
        shown = make(listeners.pki, tmp_path, name, recipe)
        # Where anybody is answered: the certificate alone has to be the reason.
        answered[name] = listeners.ask(
            listener, listeners.context(shown.certificate, shown.key), "/health/live"
        )
    assert answered == dict.fromkeys(REFUSED_IN_HANDSHAKE)


@pytest.mark.parametrize("listener", MODULES)
def test_a_name_that_is_none_of_ours_is_nobody(
    listeners: Listeners, tmp_path: Path, listener: str
) -> None:
    answered = {"none": listeners.ask(listener, listeners.context())}
    for name, recipe in REFUSED_BY_NAME.items():
        shown = make(listeners.pki, tmp_path, name, recipe)
        answered[name] = listeners.ask(listener, listeners.context(shown.certificate, shown.key))
    assert set(answered.values()) == {403}, answered


@pytest.mark.parametrize("listener", MODULES)
def test_a_certificate_that_was_revoked_ends_the_handshake(
    listeners: Listeners, listener: str
) -> None:
    files = listeners.pki.files("admin", f"stolen-from-{listener}")
    context = listeners.context(files.certificate, files.key)
    assert listeners.ask(listener, context, "/health/live") == 200

    listeners.pki.revoke(f"stolen-from-{listener}")

    wait_until(lambda: listeners.ask(listener, context, "/health/live") is None, "the revocation")


@pytest.mark.parametrize(
    ("module", "listener", "path"),
    [
        ("query", "storage", "/api/v1/mode"),
        ("ingester", "storage", "/api/v1/copies"),
        ("storage", "storage", "/api/v1/mode"),
        ("edge", "admin", "/api/v1/audit/reports"),
    ],
)
def test_another_module_than_a_route_names_is_refused(
    listeners: Listeners, module: str, listener: str, path: str
) -> None:
    files = listeners.pki.files(module)
    context = listeners.context(files.certificate, files.key)

    assert listeners.ask(listener, context, path, "POST") == 403


def test_each_refusal_is_in_the_audit_log(listeners: Listeners) -> None:
    for listener in MODULES:
        assert listeners.ask(listener, listeners.context()) == 403
    kind = "authorization.refused"

    def told() -> set[str]:
        with listeners.admin.as_account() as client:
            answer = client.get("/api/v1/audit/events", params={"kind": kind, "limit": 100})
        assert answer.status_code == 200, answer.text
        found = [json.dumps(event) for event in answer.json()["items"]]
        refused = [text for text in found if "client_certificate_required" in text]
        return {each for each in MODULES if any(f'"{each}/{each}-1"' in text for text in refused)}

    wait_until(lambda: told() == set(MODULES), "every module telling of a refusal")


def test_a_ticket_is_never_given(listeners: Listeners) -> None:
    """So no session can outlive the removal of its authority."""
    files = listeners.pki.files("admin")
    for listener in LISTENERS:
        assert _session_after_an_answer(listeners, listener, files.certificate, files.key) is None


def _session_after_an_answer(
    listeners: Listeners, listener: str, certificate: Path, key: Path
) -> object:
    context = listeners.context(certificate, key)
    with (
        socket.create_connection(("127.0.0.1", listeners.ports[listener]), 10) as plain,
        context.wrap_socket(plain) as tls,
    ):
        tls.sendall(b"GET /health/live HTTP/1.1\r\nHost: x\r\n\r\n")
        assert b"200" in tls.recv(4096)
        session = tls.session
        return session if session is not None and session.has_ticket else None
