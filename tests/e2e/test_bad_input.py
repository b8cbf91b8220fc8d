"""What users and strangers get wrong, through the edge: one clear answer each, nothing lost."""

import base64
import contextlib
import hashlib
import json
import re
import ssl
from collections.abc import Callable
from http import client as http_client
from typing import Any
from urllib.parse import urlsplit

import httpx2
import pytest
from tests.support.stack import RunningStack

pytestmark = pytest.mark.stack

UNKNOWN = "01a204ea-028c-75c8-a93c-59d9606ef0c7"
# What an answer must never hold: paths, SQL, traces, internal addresses, software versions.
_INTERNAL = re.compile(
    r"/(usr|home|root|tmp|var|etc|data|src)/|Traceback|SELECT |psycopg|sqlalchemy|uvicorn|"
    r"127\.0\.0\.1:80|\.py\b|password",
    re.IGNORECASE,
)


def check(answer: httpx2.Response, status: int, code: str) -> dict[str, Any]:
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"].startswith("application/problem+json")
    problem: dict[str, Any] = answer.json()
    assert problem["code"] == code
    assert problem["status"] == status
    assert re.fullmatch(r"[0-9a-f]{32}", problem["correlation_id"])
    assert problem["correlation_id"] == answer.headers["x-correlation-id"]
    assert not _INTERNAL.search(answer.text), answer.text
    assert "server" not in answer.headers
    assert answer.headers["x-content-type-options"] == "nosniff"
    return problem


PROTECTED: list[tuple[str, str]] = [
    ("POST", "/api/v1/files?filename=x"),
    ("GET", "/api/v1/files"),
    ("GET", f"/api/v1/files/{UNKNOWN}"),
    ("GET", f"/api/v1/files/{UNKNOWN}/content"),
    ("GET", "/api/v1/search?q=x"),
    ("DELETE", f"/api/v1/files/{UNKNOWN}"),
    ("GET", "/api/v1/storage-elements"),
    ("GET", "/api/v1/service-accounts"),
    ("GET", "/api/v1/catalogue"),
]


@pytest.mark.parametrize(("method", "path"), PROTECTED)
@pytest.mark.parametrize(
    "token", [None, "Bearer", "Bearer nonsense", "Bearer a.b.c", "Basic Y2xpOng="]
)
def test_without_a_good_token(
    stranger: httpx2.Client, method: str, path: str, token: str | None
) -> None:
    headers = {"Authorization": token} if token else {}
    answer = stranger.request(
        method, path, headers=headers, content=b"" if method == "POST" else None
    )

    check(answer, 401, "invalid_token")
    assert answer.headers["www-authenticate"].startswith("Bearer")


def test_a_changed_token(stranger: httpx2.Client, http: httpx2.Client) -> None:
    good = http.headers["authorization"]
    head, body, signature = good.removeprefix("Bearer ").split(".")
    forged = f"Bearer {head}.{body}.{signature[::-1]}"

    check(stranger.get("/api/v1/files", headers={"Authorization": forged}), 401, "invalid_token")


def test_a_scope_that_is_missing(stranger: httpx2.Client, make_token: Callable[[str], str]) -> None:
    headers = {"Authorization": f"Bearer {make_token('readonly')}"}

    for method, path in (
        ("POST", "/api/v1/files?filename=x"),
        ("DELETE", f"/api/v1/files/{UNKNOWN}"),
    ):
        content = b"x" if method == "POST" else None
        answer = stranger.request(method, path, headers=headers, content=content)
        assert check(answer, 403, "not_permitted")["required_scope"].startswith("files:")


@pytest.mark.parametrize("path", ["/api/v1/files/{}", "/api/v1/files/{}/content"])
def test_an_unknown_file(http: httpx2.Client, path: str) -> None:
    check(http.get(path.format(UNKNOWN)), 404, "unknown_file")


@pytest.mark.parametrize(
    "path", ["/nothing", "/api/v1/nothing", "/api/v2/files", "/health/live", "/metrics", "/"]
)
def test_an_unknown_address(http: httpx2.Client, path: str) -> None:
    check(http.get(path), 404, "unknown_route")


def test_an_unknown_method(http: httpx2.Client) -> None:
    assert http.request("PUT", "/api/v1/search").status_code in {404, 405}


@pytest.fixture(scope="module")
def file_id(http: httpx2.Client) -> str:
    stored = http.post("/api/v1/files", params={"filename": "ten.txt"}, content=b"0123456789")
    file_id: str = stored.json()["file_id"]
    return file_id


@pytest.mark.parametrize("window", ["bytes=10-", "bytes=99-100", "bytes=-0"])
def test_a_range_outside(http: httpx2.Client, file_id: str, window: str) -> None:
    answer = http.get(f"/api/v1/files/{file_id}/content", headers={"Range": window})

    check(answer, 416, "range_not_satisfiable")
    assert answer.headers["content-range"] == "bytes */10"


@pytest.mark.parametrize(
    ("length", "status", "code"),
    [(7 << 40, 507, "no_room"), (9 << 40, 413, "body_too_large")],
    ids=["beyond every element", "beyond the limit"],
)
def test_a_length_is_judged_before_the_body(
    stack: RunningStack, http: httpx2.Client, length: int, status: int, code: str
) -> None:
    """Says how much will come, sends nothing of it, and has the answer."""
    address = urlsplit(stack.edge_url)
    connection = http_client.HTTPSConnection(
        address.netloc, context=ssl.create_default_context(cafile=stack.ca_file), timeout=30
    )
    with contextlib.closing(connection):
        connection.putrequest("POST", "/api/v1/files?filename=huge.bin")
        connection.putheader("Authorization", http.headers["authorization"])
        connection.putheader("Content-Length", str(length))
        connection.endheaders()
        answer = connection.getresponse()
        problem = json.loads(answer.read())

    assert (answer.status, problem["code"]) == (status, code)


def test_a_body_never_becomes_the_next_request(stack: RunningStack, http: httpx2.Client) -> None:
    """The edge hands on a wish for another protocol; for the parser, what follows is no body."""
    smuggled = (
        b"POST /api/v1/files?filename=smuggled HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n"
    )

    # On a connection of its own: the edge closes it, and not before the answer is read.
    tls = ssl.create_default_context(cafile=stack.ca_file)
    with httpx2.Client(base_url=stack.edge_url, verify=tls, headers=http.headers) as client:
        answer = client.post(
            "/api/v1/files?filename=outer",
            content=smuggled,
            headers={"Connection": "upgrade", "Upgrade": "websocket"},
        )

    if answer.status_code == 201:
        assert answer.json()["size"] == len(smuggled)
    else:
        check(answer, 400, "malformed_http")
    for _ in range(5):
        check(http.get(f"/api/v1/files/{UNKNOWN}"), 404, "unknown_file")


@pytest.mark.parametrize("header", ["Repr-Digest", "Content-Digest"])
def test_a_digest_that_does_not_match(http: httpx2.Client, header: str) -> None:
    wrong = base64.b64encode(hashlib.sha256(b"other").digest()).decode()
    for size in (5, 200_000):
        answer = http.post(
            "/api/v1/files",
            params={"filename": "digest.bin"},
            content=b"x" * size,
            headers={header: f"sha-256=:{wrong}:"},
        )
        check(answer, 422, "digest_mismatch")


@pytest.mark.parametrize(
    ("params", "field"),
    [
        ({}, "filename"),
        ({"filename": ""}, "filename"),
        ({"filename": "x" * 1025}, "filename"),
        ({"filename": "x", "collection": "../x"}, "collection"),
        ({"filename": "x", "tag": ""}, "tag"),
        ({"filename": "x", "retention": "soon"}, "retention"),
        ({"filename": "x", "retention": "2001-01-01"}, "retention"),
        ({"filename": "x", "metadata": "{"}, "metadata"),
        ({"filename": "x", "metadata": "[1]"}, "metadata"),
        ({"filename": "x", "metadata": '{"a": "\\ud800"}'}, "metadata"),
    ],
)
def test_malformed_metadata_names_the_field(
    http: httpx2.Client, params: dict[str, str], field: str
) -> None:
    answer = http.post("/api/v1/files", params=params, content=b"x")

    problem = check(answer, 422, "invalid_metadata")
    assert problem["field"].rstrip("s") == field.rstrip("s")


@pytest.mark.parametrize(
    "name",
    [
        "../../../../etc/passwd",
        "..\\..\\windows\\system32",
        "a\0b.txt",
        "Ж" * 300,
        "invoice\u202efdp.exe",
        "line\r\nX-Injected: yes.txt",
        'quote".txt',
        "💾 диск.bin",
        "CON",
        ".",
        "%2e%2e%2f",
    ],
    ids=ascii,
)
def test_every_name_is_kept_exactly_and_is_never_a_path(http: httpx2.Client, name: str) -> None:
    stored = http.post("/api/v1/files", params={"filename": name}, content=b"named")
    assert stored.status_code == 201, stored.text
    file_id = stored.json()["file_id"]

    record = http.get(f"/api/v1/files/{file_id}").json()
    content = http.get(f"/api/v1/files/{file_id}/content")

    assert record["original_filename"] == name
    assert content.content == b"named"
    assert "x-injected" not in content.headers
    assert content.headers["content-disposition"].startswith("attachment")


def test_wrong_credentials_are_all_the_same(stranger: httpx2.Client) -> None:
    answers = [
        stranger.post(
            "/api/v1/auth/token",
            data={"grant_type": "client_credentials", "client_id": name, "client_secret": "wrong"},
        )
        for name in ("cli", "nobody-knows-me")
    ]
    bodies = [check(answer, 401, "invalid_credentials") for answer in answers]
    for body in bodies:
        del body["correlation_id"]
    assert bodies[0] == bodies[1]
