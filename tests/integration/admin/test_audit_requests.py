"""Whatever is asked of the audit log's API, the answer is a page, a proof, or a refusal that says
why: never a failure of the server, and never something of what may not be seen.
"""

import json
import re
import secrets
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

import pytest
from fastapi.routing import APIRoute
from tests.support.admin import Admin
from tests.support.auditor import Auditor

from artstore.admin.routes.audit import router

AUDIT = "/api/v1/audit"
FILE = "01a204bc-d9d3-7009-8001-020304050607"


@pytest.fixture(scope="module")
def auditor(admin: Admin) -> Iterator[Auditor]:
    with admin.as_account() as client:
        auditor = Auditor(client)
        auditor.wait_for_some()
        yield auditor


FIRST, LAST = "0001-01-01T00:00:00", "9999-12-31T23:59:59.999999"


@pytest.mark.parametrize(
    "query",
    [
        *(f"{name}=%00" for name in ("person", "account", "collection", "element_id")),
        "person=a%00b&account=%00&outcome=refused",
        "person=%F0%9F%98%80&account=%E2%80%AE",
        "person=%ED%A0%80",
        "person=" + "x" * 200,
        f"since={FIRST}%2B14:00",
        f"until={LAST}-14:00",
        f"since={FIRST}Z&until={LAST}Z",
        f"since={LAST}Z&until={FIRST}Z",
        f"since={FIRST}-23:59&until={LAST}%2B23:59",
        "since=-1e30",
        "since=99999999999999",
        "since=2026-01-01T00:00:00",
        f"cursor={LAST}-14:00_5",
        f"cursor={FIRST}%2B14:00_5",
        f"cursor={FIRST}%2B00:00_5",
        f"cursor={LAST}%2B00:00_9999999999999999",
        "cursor=2026-01-01T00:00:00Z_9999999999999999",
        "cursor=2026-01-01T00:00:00%2B00:00_5",
        "cursor=2026-01-01_5",
        "cursor=2026-13-01T00:00:00Z_5",
        "cursor=%00",
        "cursor=" + "9" * 80,
        "limit=0",
        "limit=-1",
        "limit=1001",
        "limit=1e3",
        "limit=" + "9" * 5000,
        "kind=file.unheard",
        "file_id=" + FILE.upper(),
        f"file_id={FILE}&kind=file.uploaded&outcome=failed&collection=x&element_id=y&person=p",
    ],
)
def test_a_question_of_any_kind_is_answered(auditor: Auditor, query: str) -> None:
    answer = auditor.client.get(f"{AUDIT}/events?{query}")

    assert answer.status_code in (200, 400, 422), answer.text
    if answer.status_code == 200:
        assert set(answer.json()) == {"items", "next_cursor"}
    else:
        assert "Traceback" not in answer.text


@pytest.mark.parametrize(
    "path",
    [
        f"files/{FILE}",
        f"files/{FILE}?cursor=9999999999999999&limit=1",
        f"files/{FILE}?cursor=-1",
        f"files/{FILE}/proof",
        f"files/{FILE}/proof?receipt_key={'A' * 43}",
        f"files/{FILE}/proof?receipt_key=%00",
        f"files/{FILE.upper()}",
        "files/%00",
        "files/..%2F..%2Fkeys",
        "proof/9007199254740991",
        "proof/9007199254740992",
        "proof/-1",
        "proof/" + "9" * 400,
        "consistency?first=0&second=0",
        "consistency?first=5&second=2",
        "consistency?first=0&second=9007199254740991",
        "consistency?first=1e3",
        "export?first=9007199254740991",
        "export?first=10&end=5",
        "export?first=0&end=0",
        "export?first=-1",
        "checkpoint?confirmed=perhaps",
        "checkpoint?confirmed=true",
    ],
)
def test_a_path_of_any_kind_is_answered(auditor: Auditor, path: str) -> None:
    assert auditor.client.get(f"{AUDIT}/{path}").status_code in (200, 400, 404, 422)


@pytest.mark.parametrize(
    "order",
    [
        {"person": "a\0b"},
        {"account": "\0"},
        {"person": ""},
        {"person": "", "account": ""},
        {"person": "😀" * 200},
        {"person": "x", "until": f"{FIRST}+14:00"},
        {"person": "x", "until": f"{LAST}-14:00"},
        {"event_ids": []},
        {"event_ids": [FILE] * 1001},
        {"person": "x", "fields": ["nothing"]},
        {"person": "x", "more": 1},
    ],
)
def test_an_erasure_of_any_kind_is_answered(auditor: Auditor, order: dict[str, Any]) -> None:
    answer = auditor.client.post(f"{AUDIT}/erasures", json={"reason": "x", **order})

    assert answer.status_code in (200, 400, 422), answer.text
    if answer.status_code == 200:
        assert answer.json() == {"events": 0}


def test_a_reason_that_no_text_can_hold_is_refused(auditor: Auditor) -> None:
    for body in (
        b'{"person":"x","reason":"\\ud800"}',
        b'{"person":"\\udfff","reason":"x"}',
        b'{"person":"x","reason":"' + b"\xed\xa0\x80" + b'"}',
        b"\xff\xfe",
        b"[" * 100_000,
    ):
        answer = auditor.client.post(
            f"{AUDIT}/erasures", content=body, headers={"Content-Type": "application/json"}
        )
        assert answer.status_code in (400, 413, 422), answer.text


def routes() -> list[tuple[str, str]]:
    return [
        (method, re.sub(r"\{[a-z_]+\}", FILE, route.path))
        for route in router.routes
        if isinstance(route, APIRoute)
        for method in route.methods
    ]


def test_no_route_of_the_audit_is_open_to_somebody_without_the_right(
    admin: Admin, auditor: Auditor
) -> None:
    reports = f"{AUDIT}/reports"
    found = routes()
    assert len(found) >= 9
    with (
        admin.as_account("reader", admin.installation.reader_secret) as reader,
        admin.client() as nobody,
    ):
        for method, path in found:
            body = {"json": {"reason": "x", "person": "x"}} if method == "POST" else {}
            where = path.replace(f"proof/{FILE}", "proof/1") + "?first=0"
            assert nobody.request(method, where, **body).status_code == 401, where
            assert reader.request(method, where, **body).status_code == 403, where
        # No person and no account may report; only a service does.
        for client in (reader, nobody, auditor.client):
            assert client.post(reports, content=b"{}").status_code in (401, 403, 404)


def test_a_person_is_found_by_the_id_as_it_was_told(auditor: Auditor) -> None:
    """PostgreSQL holds no NUL, so the index has another sign in its place."""
    name = f"a\0{secrets.token_hex(4)}"
    answer = auditor.client.get(f"{AUDIT}/events?account={quote(name)}")

    assert answer.status_code == 200
    assert answer.json()["items"] == []


@pytest.mark.parametrize(
    "typed",
    [
        "\0",
        "a\0b",
        "😀" * 100,
        "\u202eрига",
        "x" * 5000,
        "x" * 100_000,
        "\x1b[2J\r\n",
        "\ud800",
        "",
        " ",
        "ﷺ" * 50,
        "\uffff\U0010ffff",
    ],
    ids=["nul", "nul inside", "emoji", "rtl", "long", "longer", "escape", "surrogate", "empty",
         "blank", "grows when normalised", "noncharacters"],
)  # fmt: skip
def test_whatever_is_typed_as_a_name_is_refused_and_written_down(
    admin: Admin, auditor: Auditor, typed: str
) -> None:
    with admin.client() as client:
        body = json.dumps({"username": typed, "password": "wrong"})
        login = client.post(
            "/api/v1/admin-auth/login", content=body, headers={"Content-Type": "application/json"}
        )
        token = client.post(
            "/api/v1/auth/token",
            data={
                "grant_type": "client_credentials",
                "client_id": typed.encode("utf-8", "replace").decode(),
                "client_secret": "wrong",
            },
        )
    assert 400 <= login.status_code < 500, login.text
    assert 400 <= token.status_code < 500, token.text
    for answer, kind in ((login, "sign_in"), (token, "token_issued")):
        if answer.status_code != 401:
            continue  # It was no attempt: nobody could be called so.
        correlation = answer.headers["x-correlation-id"]
        event = auditor.wait_for(
            lambda item, id_=correlation: item["event"]["correlation_id"] == id_,
            kind=f"authentication.{kind}",
        )
        assert event["event"]["outcome"] == "refused"
        auditor.verified(event)
