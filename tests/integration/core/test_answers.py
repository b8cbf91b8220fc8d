"""What every answer of a module says, whatever became of the request."""

import socket
import ssl
from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest
from tests.support.admin import Admin, Installation, MakeDatabase
from tests.support.pki import Pki
from tests.support.processes import short_folder
from tests.support.valkey import TestValkey

from artstore.core.tls import client_context
from artstore.core.web.safe_headers import SAFE_HEADERS


@pytest.fixture(scope="module")
def admin(make_database: MakeDatabase, valkey_server: TestValkey, pki: Pki) -> Iterator[Admin]:
    with short_folder() as folder:
        made = Installation(Path(folder), make_database("answers"), valkey_server, pki)
        made.write()
        done = made.prepare()
        assert done.returncode == 0, done.stderr
        with made.serve() as running:
            yield running


def has_safe_headers(headers: httpx2.Headers) -> bool:
    return all(headers.get_list(name) == [value] for name, value in SAFE_HEADERS.items())


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/health/live", 200),
        ("GET", "/metrics", 200),
        ("GET", "/.well-known/jwks.json", 200),
        ("GET", "/nothing", 404),
        ("PUT", "/health/live", 405),
        ("GET", "/api/v1/users", 401),
        ("POST", "/api/v1/auth/token", 400),
        ("POST", "/api/v1/admin-auth/login", 422),
        ("POST", "/api/v1/audit/reports", 403),
        ("GET", "/docs", 404),
        ("GET", "/openapi.json", 404),
    ],
)
def test_every_answer_carries_the_security_headers(
    admin: Admin, method: str, path: str, status: int
) -> None:
    with admin.client() as client:
        answer = client.request(method, path, json=[])
    assert answer.status_code == status, answer.text
    assert has_safe_headers(answer.headers), answer.headers


def test_so_does_the_answer_to_who_shows_no_certificate(admin: Admin, pki: Pki) -> None:
    context = ssl.create_default_context(cafile=pki.ca_file)
    with httpx2.Client(base_url=admin.process.url, verify=context) as client:
        answer = client.get("/api/v1/users")
    assert answer.status_code == 403
    assert has_safe_headers(answer.headers)


MALFORMED = {
    "no HTTP": b"HELLO\r\n\r\n",
    "length and chunks": (
        b"POST /api/v1/auth/token HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n"
        b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n"
    ),
    "chunks and length": (
        b"POST /api/v1/auth/token HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n"
        b"Content-Length: 5\r\n\r\n0\r\n\r\n"
    ),
    "two lengths": (
        b"POST /api/v1/auth/token HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n"
        b"Content-Length: 6\r\n\r\nhello"
    ),
}


@pytest.mark.parametrize("name", MALFORMED)
def test_what_is_no_clear_request_is_refused_with_them_too(
    admin: Admin, pki: Pki, name: str
) -> None:
    context = client_context(pki.files("edge"))
    raw = socket.create_connection(("127.0.0.1", admin.process.port), 30)
    with context.wrap_socket(raw, server_hostname="127.0.0.1") as connection:
        connection.sendall(MALFORMED[name])
        answer = b""
        while chunk := connection.recv(4096):
            answer += chunk
    assert answer.startswith(b"HTTP/1.1 400"), answer
    for header, value in SAFE_HEADERS.items():
        assert f"{header}: {value}\r\n".encode() in answer


def test_the_page_of_the_api_runs_only_what_it_brings(admin: Admin) -> None:
    """In development only; its script has the nonce of this answer."""
    settings = {"PROFILE": "development", "DEBUG": "true"}
    with admin.installation.serve("admin-docs", **settings) as running, running.client() as client:
        pages = [client.get("/docs") for _ in range(2)]
    policies = [page.headers["content-security-policy"] for page in pages]
    assert policies[0] != policies[1]
    nonce = policies[0].split("'nonce-")[1].split("'")[0]
    assert f'<script nonce="{nonce}">' in pages[0].text
    assert "<script>" not in pages[0].text
    assert "unsafe-eval" not in policies[0]
    assert "frame-ancestors 'none'" in policies[0]
