"""The edge as `artstore up` configures it, in front of stand-ins that say what reached them."""

import contextlib
import hashlib
import http.client
import json
import os
import shutil
import socket
import ssl
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, closing
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from cryptography.x509 import ReasonFlags
from tests.integration.local.echo_modules import CORRELATION_ID, EchoModule, serving
from tests.support.processes import running, short_folder, wait_until

from artstore.core.tls import PeerIdentity, TlsFiles
from artstore.local import edge as local_edge
from artstore.local import programs
from artstore.local.certificate_store import CertificateStore
from artstore.local.failures import StackFailure
from artstore.local.pki import issue
from artstore.local.ports import Ports, free_ports

MODULES = ("admin", "ingester", "query")
ORIGINS = ("https://archive.example.org", "https://desk.example.org:8443", "http://localhost:4200")
OTHER_ORIGINS = (
    "https://evil.example",
    "https://archive.example.org:443",
    "https://archive.example.org:8443",
    "https://archive.example.org.evil.example",
    "https://archive.example.orgx",
    "https://xarchive.example.org",
    "https://evil-archive.example.org",
    "https://sub.archive.example.org",
    "https://archive.example.com",
    "https://archivexexample.org",
    "https://archive.example.org, https://evil.example",
    "https://archive.example.org https://evil.example",
    "https://desk.example.org",
    "https://desk.example.org:443",
    "https://desk.example.org:84430",
    "http://localhost",
    "http://localhost:4201",
    "https://localhost:4200",
    "http://127.0.0.1:4200",
)
"""Origins, but not those that are listed."""
NO_ORIGINS = (
    "*",
    "null",
    "http://archive.example.org",
    "https://archive.example.org.",
    "https://archive.example.org/",
    "https://archive.example.org/x",
    "https://archive.example.org?",
    "https://archive.example.org#",
    "https://archive.example.org@evil.example",
    "https://user@archive.example.org",
    "https://ARCHIVE.example.org",
    "HTTPS://archive.example.org",
    "//archive.example.org",
    "archive.example.org",
    "https:archive.example.org",
    "https:///archive.example.org",
    "https://desk.example.org:08443",
    "http://desk.example.org:8443",
    "http://[::1]:4200",
    "file://",
    "data:text/html,x",
    "chrome-extension://archive.example.org",
    "https://archive%2eexample.org",
    "https://archive.example.org%00.evil.example",
)
TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"


@dataclass(frozen=True)
class Site:
    ports: Ports
    folder: Path
    store: CertificateStore
    modules: Mapping[str, EchoModule]
    pid: int

    def connect(self, alpn: str | None = None) -> http.client.HTTPSConnection:
        context = ssl.create_default_context(cafile=str(self.store.authority_file))
        if alpn:
            context.set_alpn_protocols([alpn])
        return http.client.HTTPSConnection(
            "127.0.0.1", self.ports.edge, context=context, timeout=30
        )

    def ask(
        self,
        method: str,
        path: str,
        body: Any = None,
        headers: Mapping[str, str] | None = None,
    ) -> tuple[int, Mapping[str, str], Any]:
        with closing(self.connect()) as connection:
            connection.request(method, path, body=body, headers=dict(headers or {}))
            answer = connection.getresponse()
            content = answer.read()
            return answer.status, answer.headers, json.loads(content) if content else None

    def ask_again(self, method: str, path: str) -> int:
        """The status. A reload may cut a connection that is being opened (ADR 0026): programs send
        such a request once more, and so does this."""
        for _ in range(10):
            with contextlib.suppress(ConnectionError, ssl.SSLEOFError):
                return self.ask(method, path)[0]
        raise AssertionError("the edge cuts every connection")

    def log_lines(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in (self.folder / "log").read_text().splitlines()]


@pytest.fixture(scope="module")
def site() -> Iterator[Site]:
    with ExitStack() as stack:
        folder = stack.enter_context(short_folder())
        store, ports = CertificateStore(folder), free_ports()
        modules = {name: EchoModule(name) for name in MODULES}
        for name, module in modules.items():
            # "query" is served with the certificate of another module, only in one test.
            store.renew(PeerIdentity(name, f"{name}-1"), datetime.now(UTC))
            stack.enter_context(serving(module, getattr(ports, name), store.files(f"{name}-1")))
        store.renew(PeerIdentity("edge", "edge-1"), datetime.now(UTC))
        process = stack.enter_context(run_edge(folder, ports, store))
        yield Site(ports, folder, store, modules, process.pid)


def run_edge(folder: Path, ports: Ports, store: CertificateStore) -> Any:
    server = local_edge.Edge(
        programs.caddy(),
        folder / "Caddyfile",
        folder / "data",
        ports,
        store.files("edge-1"),
        store.modules_file,
        ORIGINS,
    )
    server.configure()
    return running(server.command(), lambda _: accepts(ports.edge), folder / "log")


def accepts(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


@pytest.mark.parametrize(
    ("method", "path", "module"),
    [
        ("POST", "/api/v1/files?filename=a.txt", "ingester"),
        ("POST", "/api/v1/uploads", "ingester"),
        ("PATCH", "/api/v1/uploads/17", "ingester"),
        ("OPTIONS", "/api/v1/uploads", "ingester"),
        ("GET", "/api/v1/files", "query"),
        ("GET", "/api/v1/files/17", "query"),
        ("HEAD", "/api/v1/files/17/content", "query"),
        ("GET", "/api/v1/search?q=x", "query"),
        ("POST", "/api/v1/search", "query"),
        ("GET", "/api/v1/search/suggest", "query"),
        ("DELETE", "/api/v1/files/17", "admin"),
        ("PATCH", "/api/v1/files/17", "admin"),
        ("POST", "/api/v1/files/17/restore", "admin"),
        ("GET", "/api/v1/files/17/restore", "admin"),
        ("POST", "/api/v1/files/17/legal-hold", "admin"),
        ("POST", "/api/v1/auth/token", "admin"),
        ("GET", "/api/v1/storage-elements", "admin"),
        ("GET", "/.well-known/jwks.json", "admin"),
    ],
)
def test_each_method_and_path_belongs_to_one_module(
    site: Site, method: str, path: str, module: str
) -> None:
    before = {name: echo.requests for name, echo in site.modules.items()}

    status, _, _ = site.ask(method, path)

    assert status == 200
    grown = [name for name, echo in site.modules.items() if echo.requests > before[name]]
    assert grown == [module]


@pytest.mark.parametrize("path", ["/", "/metrics", "/health/ready", "/api/v2/files", "/api/v1"])
def test_everything_else_is_unknown(site: Site, path: str) -> None:
    status, headers, problem = site.ask("GET", path)

    assert status == 404
    assert headers["Content-Type"] == "application/problem+json"
    assert problem["code"] == "unknown_route"
    assert len(problem["correlation_id"]) == 32
    assert headers["X-Correlation-Id"] == problem["correlation_id"]


def test_an_answer_of_the_edge_itself_carries_the_callers_trace_id(site: Site) -> None:
    headers = {"traceparent": f"00-{TRACE}-00f067aa0ba902b7-01"}
    _, _, problem = site.ask("GET", "/nothing", headers=headers)
    assert problem["correlation_id"] == TRACE


@pytest.mark.parametrize("path", ["/api/v1/files", "/nothing"])
def test_every_answer_carries_the_security_headers(site: Site, path: str) -> None:
    _, headers, _ = site.ask("GET", path)

    assert headers["Strict-Transport-Security"] == "max-age=31536000"
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["Referrer-Policy"] == "no-referrer"
    assert "frame-ancestors 'none'" in headers["Content-Security-Policy"]
    assert "camera=()" in headers["Permissions-Policy"]
    assert headers["Cross-Origin-Opener-Policy"] == "same-origin"
    assert headers["Cross-Origin-Resource-Policy"] == "same-origin"
    assert "Server" not in headers
    assert "Via" not in headers


@pytest.mark.parametrize("origin", ORIGINS)
def test_a_page_of_a_listed_origin_may_call(site: Site, origin: str) -> None:
    asked = {
        "Origin": origin,
        "Access-Control-Request-Method": "PATCH",
        "Access-Control-Request-Headers": "authorization",
    }

    status, allowed, _ = site.ask("OPTIONS", "/api/v1/files/17", headers=asked)
    _, answered, _ = site.ask("GET", "/api/v1/files", headers={"Origin": origin})
    _, failed, _ = site.ask("GET", "/nothing", headers={"Origin": origin})

    assert status == 204
    assert "PATCH" in allowed["Access-Control-Allow-Methods"]
    assert allowed["Access-Control-Allow-Headers"] == "authorization"
    for headers in (allowed, answered, failed):
        assert headers["Access-Control-Allow-Origin"] == origin
        assert headers["Vary"] == "Origin"
        assert "Access-Control-Allow-Credentials" not in headers


@pytest.mark.parametrize("origin", ["", *OTHER_ORIGINS, *NO_ORIGINS])
def test_no_other_page_may_call(site: Site, origin: str) -> None:
    asked = {"Origin": origin, "Access-Control-Request-Method": "PATCH"}

    for method, path in (("OPTIONS", "/api/v1/files/17"), ("GET", "/api/v1/files")):
        _, headers, _ = site.ask(method, path, headers=asked)
        assert not [name for name in headers if name.lower().startswith("access-control-")]
        assert headers["Vary"] == "Origin"


@pytest.mark.parametrize("origin", NO_ORIGINS)
def test_only_origins_can_be_listed(origin: str) -> None:
    with pytest.raises(StackFailure, match="is not an origin"):
        local_edge.parse_origins(origin)


def test_origins_are_separated_by_spaces_or_commas() -> None:
    assert local_edge.parse_origins(", ".join(ORIGINS)) == ORIGINS
    assert local_edge.parse_origins("") == ()
    assert len(OTHER_ORIGINS) + len(NO_ORIGINS) >= 40


def test_modules_see_the_edges_certificate_and_the_clients_request(site: Site) -> None:
    _, _, seen = site.ask("GET", "/api/v1/files/17", headers={"Authorization": "Bearer abc"})

    assert seen["peer"] == "spiffe://artstore/edge/edge-1"
    assert seen["headers"]["authorization"] == "Bearer abc"
    assert seen["headers"]["host"] == f"127.0.0.1:{site.ports.edge}"


def test_what_a_client_says_about_its_origin_counts_for_nothing(site: Site) -> None:
    lies = {
        "X-Forwarded-For": "10.9.8.7",
        "X-Forwarded-Host": "evil.example",
        "X-Forwarded-Proto": "http",
        "X-Forwarded-Client-Cert": "URI=spiffe://artstore/admin/admin-1",
        "X-Real-Ip": "10.9.8.7",
        "Forwarded": "for=10.9.8.7",
    }
    _, _, seen = site.ask("GET", "/api/v1/files", headers=lies)

    headers = seen["headers"]
    assert headers["x-forwarded-for"] == "127.0.0.1"
    assert headers["x-forwarded-proto"] == "https"
    assert headers["x-forwarded-host"] == f"127.0.0.1:{site.ports.edge}"
    assert not {"forwarded", "x-real-ip", "x-forwarded-client-cert"} & headers.keys()


def test_one_line_in_the_log_shows_the_trace_id_and_no_secret(site: Site) -> None:
    site.ask(
        "GET",
        "/api/v1/files/logged?q=confidential",
        headers={"Authorization": "Bearer hidden-token", "Referer": "https://x/confidential"},
    )

    wait_until(lambda: bool(lines_about(site, "/api/v1/files/logged")), "the log line")
    (line,) = lines_about(site, "/api/v1/files/logged")
    assert line["trace_id"] == CORRELATION_ID
    assert {"timestamp", "level", "event", "status", "duration"} <= line.keys()
    text = (site.folder / "log").read_text()
    assert "hidden-token" not in text
    assert "confidential" not in text


def test_an_answer_of_the_edge_itself_is_found_in_its_log_too(site: Site) -> None:
    _, _, problem = site.ask("GET", "/not-here")
    wait_until(lambda: bool(lines_about(site, "/not-here")), "the log line")
    (line,) = lines_about(site, "/not-here")
    assert line["trace_id"] == problem["correlation_id"]


def lines_about(site: Site, path: str) -> list[dict[str, Any]]:
    return [
        line
        for line in site.log_lines()
        if line.get("request", {}).get("uri", "").startswith(path) and "status" in line
    ]


def test_only_tls_1_3_is_spoken(site: Site) -> None:
    context = ssl.create_default_context(cafile=str(site.store.authority_file))
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    with (
        socket.create_connection(("127.0.0.1", site.ports.edge)) as plain,
        pytest.raises(ssl.SSLError, match="PROTOCOL_VERSION"),
    ):
        context.wrap_socket(plain, server_hostname="localhost")


def test_http_2_is_chosen_and_http_3_is_offered(site: Site) -> None:
    with closing(site.connect(alpn="h2")) as connection:
        connection.connect()
        assert connection.sock.selected_alpn_protocol() == "h2"
    _, headers, _ = site.ask("GET", "/api/v1/files")
    assert headers["Alt-Svc"].startswith("h3=")


def test_a_large_body_for_a_small_address_is_refused(site: Site) -> None:
    body = b"x" * (3 << 20)
    status, headers, problem = site.ask("POST", "/api/v1/search", body=body)
    assert status == 413
    assert problem["code"] == "body_too_large"
    assert "Strict-Transport-Security" in headers


def test_an_upload_reaches_the_module_while_it_is_still_being_sent(site: Site) -> None:
    module = site.modules["ingester"]
    module.first_piece.clear()

    def pieces() -> Iterator[bytes]:
        yield b"a" * 100_000
        assert module.first_piece.wait(30), "the edge held the body back"
        yield b"b" * 100_000

    _, _, seen = site.ask("POST", "/api/v1/files", body=pieces(), headers={"X-Odd": "1"})

    assert seen["size"] == 200_000
    assert seen["sha256"] == hashlib.sha256(b"a" * 100_000 + b"b" * 100_000).hexdigest()


def test_a_download_reaches_the_client_while_it_is_still_being_made(site: Site) -> None:
    module = site.modules["query"]
    module.go_on.clear()
    with closing(site.connect()) as connection:
        connection.request("GET", "/api/v1/files/17/content", headers={"X-Do": "drip"})
        try:
            answer = connection.getresponse()
            assert answer.read(5) == b"first"
        finally:
            module.go_on.set()
        assert answer.read() == b"second"


def test_a_refusal_arrives_before_the_body_is_sent(site: Site) -> None:
    request = (
        f"POST /api/v1/files HTTP/1.1\r\nHost: 127.0.0.1:{site.ports.edge}\r\nX-Do: refuse\r\n"
        "Content-Length: 10000000000\r\nExpect: 100-continue\r\n\r\n"
    )
    assert raw_answer(site, request)[0] == 413


@pytest.mark.parametrize(
    "framing",
    [
        "Content-Length: 5\r\nContent-Length: 6\r\n",
        "Transfer-Encoding: xchunked\r\n",
        "Transfer-Encoding: chunked, identity\r\n",
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n",
        "Content-Length: +5\r\n",
        "Content-Length : 5\r\n",
    ],
)
def test_a_request_whose_end_is_unclear_is_refused(site: Site, framing: str) -> None:
    module = site.modules["ingester"]
    before = module.requests

    status, _ = raw_answer(site, smuggling(site, framing))

    assert status in (400, 501)
    assert module.requests == before


@pytest.mark.parametrize(
    "framing",
    [
        "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n",
        "Transfer-Encoding: chunked\r\nContent-Length: 50\r\n",
    ],
)
def test_of_two_lengths_only_one_reaches_the_module(site: Site, framing: str) -> None:
    """Were the edge and a module to disagree where a request ends, what follows would be
    taken for somebody else's request. RFC 9112, 6.3: chunked counts, the length is dropped."""
    _, body = raw_answer(site, smuggling(site, framing))

    seen = json.loads(body)
    assert seen["size"] == 0
    assert seen["headers"]["transfer-encoding"] == "chunked"
    assert "content-length" not in seen["headers"]


def smuggling(site: Site, framing: str) -> str:
    return (
        f"POST /api/v1/files HTTP/1.1\r\nHost: 127.0.0.1:{site.ports.edge}\r\n{framing}\r\n"
        "0\r\n\r\n"
    )


def raw_answer(site: Site, request: str) -> tuple[int, bytes]:
    """Status and body of what comes back; an interim 100 is a failure, not skipped."""
    with closing(site.connect()) as connection:
        connection.connect()
        connection.sock.sendall(request.encode())
        first_line = connection.sock.recv(12)
        status = int(first_line[9:])
        if status != 200:
            return status, b""
        rest = connection.sock.makefile("rb")
        while rest.readline() not in (b"\r\n", b""):
            pass
        return status, rest.read1()


def test_a_renewed_certificate_is_shown_without_a_restart(site: Site) -> None:
    before = served_certificate(site)
    site.store.files("edge-1").certificate.unlink()
    assert site.store.renew(PeerIdentity("edge", "edge-1"), datetime.now(UTC))
    os.kill(site.pid, local_edge.RELOAD)

    def is_new() -> bool:
        with contextlib.suppress(ConnectionError, ssl.SSLEOFError):
            return served_certificate(site) != before
        return False  # The reload cut it.

    wait_until(is_new, "the new certificate")


def served_certificate(site: Site) -> bytes | None:
    with closing(site.connect()) as connection:
        connection.connect()
        return connection.sock.getpeercert(binary_form=True)


def test_a_module_that_is_away_is_503_with_retry_after() -> None:
    with short_folder() as folder:
        store, ports = CertificateStore(folder), free_ports()
        for name in ("edge", "query"):
            store.renew(PeerIdentity(name, f"{name}-1"), datetime.now(UTC))
        with run_edge(folder, ports, store) as process:
            site = Site(ports, folder, store, {}, process.pid)
            status, headers, problem = site.ask("GET", "/api/v1/files")
    assert (status, problem["code"]) == (503, "unavailable")
    assert headers["Retry-After"] == "2"
    assert "127.0.0.1" not in json.dumps(problem)
    assert "Strict-Transport-Security" in headers


def test_another_modules_certificate_is_not_taken_for_the_right_one() -> None:
    """A module that is broken into cannot stand in for another."""
    with short_folder() as folder:
        store, ports, module = CertificateStore(folder), free_ports(), EchoModule("query")
        for name in ("edge", "ingester", "query"):
            store.renew(PeerIdentity(name, f"{name}-1"), datetime.now(UTC))
        with (
            serving(module, ports.query, store.files("ingester-1")),
            run_edge(folder, ports, store) as process,
        ):
            site = Site(ports, folder, store, {}, process.pid)
            status, _, _ = site.ask("GET", "/api/v1/files")
    assert status == 503
    assert module.requests == 0


def test_only_certificates_of_modules_that_are_in_use_are_taken(tmp_path: Path) -> None:
    """Whoever stole one that was revoked answers at the module's own address; so does whoever made
    one by the right authority and did not tell."""
    with short_folder() as folder:
        store, ports, now = CertificateStore(folder), free_ports(), datetime.now(UTC)
        for name in ("edge", "query"):
            store.renew(PeerIdentity(name, f"{name}-1"), now)
        stolen, untold = tmp_path / "stolen", tmp_path / "untold"
        shutil.copy(store.files("query-1").certificate, stolen)
        shutil.copy(store.files("query-1").key, stolen.with_suffix(".key"))
        leaf = issue(store.authority(now), PeerIdentity("query", "query-1"), now)
        untold.write_bytes(leaf.certificate_pem)
        untold.with_suffix(".key").write_bytes(leaf.key_pem)
        with run_edge(folder, ports, store) as process:
            site = Site(ports, folder, store, {}, process.pid)
            assert answer_of(site, untold) == 503
            assert answer_of(site, stolen) == 200

            found = store.find("query-1", now)
            store.announce(found, now)
            os.kill(process.pid, local_edge.RELOAD)
            store.put_announced(now)
            store.revoke(found, ReasonFlags.key_compromise, now)
            os.kill(process.pid, local_edge.RELOAD)

            wait_until(lambda: answer_of(site, stolen) == 503, "the thief being refused")
            assert answer_of(site, store.files("query-1").certificate) == 200


def answer_of(site: Site, certificate: Path) -> int:
    """Of the edge, with a module behind it that shows this certificate."""
    files = TlsFiles(certificate, certificate.with_suffix(".key"), site.store.authority_file)
    module = EchoModule("query")
    with serving(module, site.ports.query, files):
        status = site.ask_again("GET", "/api/v1/files")
    assert (module.requests > 0) == (status == 200)
    return status


def test_networks_are_read_as_operators_write_them() -> None:
    assert local_edge.parse_networks("10.1.0.0/16, 192.0.2.7 ::1") == (
        "10.1.0.0/16",
        "192.0.2.7/32",
        "::1/128",
    )
    assert local_edge.parse_networks(" ") == local_edge.LOOPBACK


@pytest.mark.parametrize(
    "text", ["everybody", "10.1.0.1/16", "10.0.0.0/33", "{err}", "0.0.0.0/0 }"]
)
def test_what_is_no_network_is_refused(text: str) -> None:
    with pytest.raises(StackFailure, match="ARTSTORE_MONITORING_ALLOW"):
        local_edge.parse_networks(text)
