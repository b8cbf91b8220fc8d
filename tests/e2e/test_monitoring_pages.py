"""Who is let through to Prometheus and AlertManager behind the edge (S33)."""

import http.client
import ssl
from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import dataclass
from http.cookies import SimpleCookie

import httpx2
import pytest
from tests.support.monitoring import Monitoring, needs_prometheus
from tests.support.stack import RunningStack

pytestmark = [pytest.mark.stack, needs_prometheus]

READY = "/monitoring/prometheus/-/ready"
PAGES = (READY, "/monitoring/alertmanager/api/v2/status", "/monitoring/grafana/")
LISTED, OTHER = "127.0.0.1", "127.0.0.2"
SPOOFED = (
    {"X-Forwarded-For": LISTED},
    {"X-Forwarded-For": f"{LISTED}, {LISTED}"},
    {"Forwarded": f"for={LISTED}"},
    {"X-Real-IP": LISTED},
    {"Client-IP": LISTED, "True-Client-IP": LISTED},
)
MakeToken = Callable[[str], str]


@dataclass(frozen=True)
class Pages:
    port: int
    ca_file: str

    def ask(
        self,
        path: str,
        token: str | None = None,
        *,
        method: str = "GET",
        headers: Mapping[str, str] | None = None,
        address: str = LISTED,
    ) -> int:
        sent = {"Authorization": f"Bearer {token}"} if token else {}
        connection = http.client.HTTPSConnection(
            "127.0.0.1",
            self.port,
            context=ssl.create_default_context(cafile=self.ca_file),
            timeout=60,
            source_address=(address, 0),
        )
        with closing(connection):
            connection.request(method, path, headers={**sent, **(headers or {})})
            return connection.getresponse().status


@pytest.fixture(scope="module")
def pages(stack: RunningStack, monitoring: Monitoring) -> Pages:
    assert monitoring.url
    return Pages(stack.layout.ports.edge, str(stack.ca_file))


@pytest.fixture(scope="module")
def admin(http: httpx2.Client) -> str:
    return http.headers["authorization"].removeprefix("Bearer ")


@pytest.mark.parametrize("path", PAGES)
def test_nobody_passes_without_signing_in(pages: Pages, path: str) -> None:
    assert pages.ask(path) == 401
    assert pages.ask(path, "not-a-token") == 401
    assert pages.ask(path, headers={"X-Webauth-User": "admin", "X-Webauth-Role": "Admin"}) == 401


@pytest.mark.parametrize("role", ["readonly", "user"])
def test_other_roles_are_refused(pages: Pages, make_token: MakeToken, role: str) -> None:
    token = make_token(role)

    assert [pages.ask(path, token) for path in PAGES] == [403, 403, 403]


def test_an_administrator_passes(pages: Pages, admin: str) -> None:
    assert pages.ask(READY, admin) == 200
    assert pages.ask("/monitoring/prometheus/api/v1/query?query=up", admin) == 200
    assert pages.ask("/monitoring/alertmanager/api/v2/status", admin) == 200
    assert pages.ask("/monitoring/nothing", admin) == 404


@pytest.mark.parametrize("page", ["prometheus", "alertmanager"])
def test_profiles_are_shown_to_nobody(pages: Pages, admin: str, page: str) -> None:
    assert pages.ask(f"/monitoring/{page}/debug/pprof/heap", admin) == 404
    assert pages.ask(f"/monitoring/{page}/x/../debug/pprof/heap", admin) == 404


def test_an_auditor_reads_and_changes_nothing(pages: Pages, make_token: MakeToken) -> None:
    token = make_token("auditor")

    assert pages.ask(READY, token) == 200
    assert pages.ask("/monitoring/alertmanager/api/v2/silences", token) == 200
    assert pages.ask("/monitoring/alertmanager/api/v2/silences", token, method="POST") == 403
    assert pages.ask("/monitoring/alertmanager/api/v2/silence/x", token, method="DELETE") == 403


def test_an_address_off_the_list_is_refused_whoever_it_is(pages: Pages, admin: str) -> None:
    assert [pages.ask(path, admin, address=OTHER) for path in PAGES] == [403, 403, 403]


@pytest.mark.parametrize("headers", SPOOFED)
def test_no_header_makes_an_address_another(
    pages: Pages, admin: str, headers: dict[str, str]
) -> None:
    assert pages.ask(READY, admin, headers=headers, address=OTHER) == 403


@pytest.mark.parametrize(
    "headers", [{"X-Forwarded-Method": "GET"}, {"X-Forwarded-Uri": "/monitoring/grafana/x"}]
)
def test_no_header_makes_a_change_a_look(
    pages: Pages, make_token: MakeToken, headers: dict[str, str]
) -> None:
    silences = "/monitoring/alertmanager/api/v2/silences"

    assert pages.ask(silences, make_token("auditor"), method="POST", headers=headers) == 403


def test_a_browser_gets_a_cookie_that_opens_the_pages_and_nothing_else(
    pages: Pages, http: httpx2.Client
) -> None:
    answer = http.post("/api/v1/monitoring/session")
    cookie = next(iter(SimpleCookie(answer.headers["set-cookie"]).values()))

    assert answer.status_code == 204
    assert (cookie["path"], cookie["samesite"]) == ("/monitoring", "strict")
    assert cookie["secure"]
    assert cookie["httponly"]
    sent = {"Cookie": f"{cookie.key}={cookie.value}"}
    assert pages.ask(READY, headers=sent) == 200
    assert pages.ask("/api/v1/users", headers=sent) == 401


def test_a_cookie_is_for_those_who_may(pages: Pages, make_token: MakeToken) -> None:
    token = make_token("readonly")

    assert pages.ask("/api/v1/monitoring/session", token, method="POST") == 403
    sent = {"Cookie": f"__Secure-artstore-monitoring={token}"}
    assert pages.ask(READY, headers=sent) == 403
