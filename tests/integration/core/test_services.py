"""Two services talk: who gets through, what failures look like, what is counted.

A real process listens; calls come through `Transport` or a plain TLS socket.
"""

import contextlib
import json
import socket
import ssl
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from tests.support.pki import Pki
from tests.support.processes import running, short_folder, wait_until

from artstore.core.errors import (
    ArtStoreError,
    FileDeleted,
    InternalError,
    NoRoom,
    NotPermitted,
    Unavailable,
)
from artstore.core.http import Transport
from artstore.core.tls import TlsFiles
from artstore.core.tracing import enter_trace, new_trace
from artstore.core.web.connection import FAREWELL_S

PROGRAM = Path(__file__).with_name("service_under_test.py")
LARGE_BYTES = 20_000_000
"""More than all buffers on the way hold."""


@dataclass(frozen=True)
class Service:
    port: int
    log: Path
    process: subprocess.Popen[bytes]

    @property
    def url(self) -> str:
        return f"https://127.0.0.1:{self.port}"

    def events(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.log.read_text().splitlines()]

    def told(self, trace_id: str) -> set[str]:
        return {event["event"] for event in self.events() if event.get("trace_id") == trace_id}


@contextlib.contextmanager
def served(pki: Pki, instance: str, **settings: object) -> Iterator[Service]:
    tls = pki.files("storage", instance)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    environment = {
        "ARTSTORE_INSTANCE": instance,
        "ARTSTORE_PORT": str(port),
        "ARTSTORE_TLS_CERTIFICATE_FILE": str(tls.certificate),
        "ARTSTORE_TLS_KEY_FILE": str(tls.key),
        "ARTSTORE_TLS_CA_FILE": str(tls.ca),
        **{f"ARTSTORE_{name}": str(value) for name, value in settings.items()},
        "ARTSTORE_TLS_CRL_FILE": str(tls.crl),
    }
    command = ["env", *(f"{name}={value}" for name, value in environment.items())]
    with (
        short_folder() as folder,
        running(
            [*command, sys.executable, str(PROGRAM)], lambda _: listens(port), folder / "log"
        ) as process,
    ):
        yield Service(port, folder / "log", process)


def listens(port: int) -> bool:
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
        return True
    return False


@pytest.fixture(scope="module")
def service(pki: Pki) -> Iterator[Service]:
    with served(pki, "storage-1") as service:
        yield service


@pytest.fixture(scope="module")
async def ingester(pki: Pki) -> AsyncIterator[Transport]:
    transport = Transport(pki.files("ingester"))
    yield transport
    await transport.close()


async def get(transport: Transport, url: str, peer: str = "storage") -> Any:
    async with transport.request("GET", url, peer=peer) as response:
        return await response.json()


def raw(service: Service, context: ssl.SSLContext, request: str) -> tuple[int, bytes]:
    """Status and body of one answer, read to the end of the connection."""
    with (
        socket.create_connection(("127.0.0.1", service.port), 5) as plain,
        context.wrap_socket(plain, server_hostname="storage.artstore.internal") as tls,
    ):
        tls.sendall(request.encode())
        answer = b""
        with contextlib.suppress(ssl.SSLEOFError, ConnectionResetError):
            while chunk := tls.recv(65536):
                answer += chunk
    head, _, body = answer.partition(b"\r\n\r\n")
    return int(head.split()[1]), body


def tls_context(pki: Pki, files: TlsFiles | None = None) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=pki.ca_file)
    if files is not None:
        context.load_cert_chain(files.certificate, files.key)
    return context


def closing(method: str, path: str) -> str:
    return f"{method} {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"


@contextlib.contextmanager
def asked(service: Service, context: ssl.SSLContext, path: str) -> Iterator[ssl.SSLSocket]:
    """A connection whose request is sent, and who does nothing more by itself."""
    with (
        socket.create_connection(("127.0.0.1", service.port), 30) as plain,
        context.wrap_socket(
            plain, server_hostname="storage.artstore.internal", suppress_ragged_eofs=False
        ) as tls,
    ):
        tls.sendall(f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        yield tls


async def test_the_right_service_gets_through(service: Service, ingester: Transport) -> None:
    assert await get(ingester, f"{service.url}/api/v1/numbers/7") == {"number": 7}


async def test_another_service_is_refused(service: Service, pki: Pki) -> None:
    query = Transport(pki.files("query"))
    try:
        with pytest.raises(NotPermitted):
            await get(query, f"{service.url}/api/v1/numbers/7")
    finally:
        await query.close()


@pytest.mark.parametrize("path", ["/api/v1/numbers/7", "/metrics", "/nothing", "/health/"])
def test_without_a_certificate_nothing_answers(service: Service, pki: Pki, path: str) -> None:
    status, body = raw(service, tls_context(pki), closing("GET", path))

    assert status == 403
    assert json.loads(body)["code"] == "client_certificate_required"


def test_without_a_certificate_health_answers(service: Service, pki: Pki) -> None:
    assert raw(service, tls_context(pki), closing("GET", "/health/live"))[0] == 200


@pytest.mark.parametrize("kind", ["stranger", "expired"])
def test_a_bad_certificate_ends_the_handshake(service: Service, pki: Pki, kind: str) -> None:
    context = tls_context(pki, getattr(pki, kind)("ingester"))

    with pytest.raises((ssl.SSLError, ConnectionResetError, IndexError)):
        raw(service, context, closing("GET", "/health/live"))


def test_tls_1_2_is_refused(service: Service, pki: Pki) -> None:
    context = tls_context(pki, pki.files("ingester"))
    context.minimum_version = context.maximum_version = ssl.TLSVersion.TLSv1_2

    with pytest.raises(ssl.SSLError):
        raw(service, context, closing("GET", "/health/live"))


def test_a_standing_connection_ends_when_its_certificate_is_revoked(tmp_path: Path) -> None:
    own = Pki(tmp_path)
    with served(own, "storage-1") as service, talking(service, own) as ask:
        assert ask() == 200
        own.revoke("ingester-1")
        wait_until(lambda: ask() == 403, "the revocation")
        with pytest.raises(OSError, match="closed"):
            ask()


def test_a_standing_connection_ends_when_its_authority_is_trusted_no_more(tmp_path: Path) -> None:
    own = Pki(tmp_path)
    with served(own, "storage-1") as service, talking(service, own) as ask:
        assert ask() == 200
        own.replace_authority()
        wait_until(lambda: ask() == 403, "the end of trust")


def test_other_connections_stand_when_one_certificate_is_revoked(tmp_path: Path) -> None:
    own = Pki(tmp_path)
    own.files("ingester", "ingester-2")
    with (
        served(own, "storage-1") as service,
        talking(service, own) as revoked,
        talking(service, own, "ingester-2") as standing,
    ):
        assert (revoked(), standing()) == (200, 200)
        own.revoke("ingester-1")
        wait_until(lambda: revoked() == 403, "the revocation")
        assert standing() == 200


@contextlib.contextmanager
def talking(
    service: Service, pki: Pki, instance: str = "ingester-1"
) -> Iterator[Callable[[], int]]:
    """One connection. Calling it asks once more, and says the status."""
    context = tls_context(pki, pki.files("ingester", instance))
    request = b"GET /api/v1/numbers/7 HTTP/1.1\r\nHost: x\r\n\r\n"
    with (
        socket.create_connection(("127.0.0.1", service.port), 5) as plain,
        context.wrap_socket(plain, server_hostname="storage.artstore.internal") as tls,
    ):

        def ask() -> int:
            tls.sendall(request)
            answer = tls.recv(65536)
            if not answer:
                raise ConnectionResetError("closed")
            return int(answer.split()[1])

        yield ask


def test_no_session_can_be_resumed(service: Service, pki: Pki) -> None:
    context = tls_context(pki, pki.files("ingester"))
    with (
        socket.create_connection(("127.0.0.1", service.port), 5) as plain,
        context.wrap_socket(plain, server_hostname="storage.artstore.internal") as tls,
    ):
        tls.sendall(closing("GET", "/health/live").encode())
        tls.recv(65536)
        assert tls.session is None or not tls.session.has_ticket


async def test_a_caller_refuses_a_service_of_another_name(
    service: Service, ingester: Transport
) -> None:
    with pytest.raises(Unavailable):
        await get(ingester, f"{service.url}/health/live", peer="admin")


@pytest.mark.parametrize(
    ("path", "failure"),
    [("/api/v1/deleted", FileDeleted), ("/api/v1/crash", InternalError)],
)
async def test_failures_keep_their_name_across_a_hop(
    service: Service, ingester: Transport, path: str, failure: type[ArtStoreError]
) -> None:
    with pytest.raises(failure):
        await get(ingester, service.url + path)


async def test_a_service_that_is_away_is_unavailable(ingester: Transport) -> None:
    with pytest.raises(Unavailable):
        await get(ingester, "https://127.0.0.1:1/health/live")


async def test_a_refusal_comes_before_a_large_body_is_sent(
    service: Service, ingester: Transport
) -> None:
    sent_bytes = 0

    async def body() -> AsyncIterator[bytes]:
        nonlocal sent_bytes
        for _ in range(1000):
            sent_bytes += 65536
            yield bytes(65536)

    with pytest.raises(NoRoom):
        async with ingester.request(
            "PUT", f"{service.url}/api/v1/files/full", peer="storage", data=body(), expect100=True
        ):
            pass
    assert sent_bytes == 0


async def test_half_an_answer_never_looks_whole(service: Service, ingester: Transport) -> None:
    with pytest.raises(Unavailable):
        async with ingester.request("GET", f"{service.url}/api/v1/half", peer="storage") as answer:
            await answer.read()


def test_a_crash_tells_nothing_and_logs_everything(service: Service, pki: Pki) -> None:
    context = tls_context(pki, pki.files("ingester"))
    status, body = raw(service, context, closing("GET", "/api/v1/crash"))
    problem = json.loads(body)

    assert status == 500
    assert b"shadow" not in body
    logged = [e for e in service.events() if e.get("trace_id") == problem["correlation_id"]]
    assert any("shadow" in event.get("exception", "") for event in logged)


@pytest.mark.parametrize(
    "request_text",
    [
        "GET / HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\nabcd",
        "NONSENSE\r\n\r\n",
        "GET / HTTP/1.1\r\nbad header\x00: x\r\n\r\n",
    ],
)
def test_what_is_no_clear_http_is_a_problem_too(
    service: Service, pki: Pki, request_text: str
) -> None:
    status, body = raw(service, tls_context(pki, pki.files("ingester")), request_text)

    assert status == 400
    assert json.loads(body)["code"] == "malformed_http"


async def test_one_trace_crosses_the_hop(service: Service, ingester: Transport) -> None:
    trace = new_trace(sampled=False)
    enter_trace(trace)

    async with ingester.request("GET", f"{service.url}/api/v1/trace", peer="storage") as answer:
        assert await answer.json() == {"trace_id": trace.trace_id}
        assert answer.headers["x-correlation-id"] == trace.trace_id
    wanted = {"asked for its trace", "request"}
    wait_until(lambda: service.told(trace.trace_id) == wanted, "both lines in the log")


async def test_requests_are_counted_by_template(service: Service, ingester: Transport) -> None:
    for file_id in ("a", "b"):
        async with ingester.request(
            "PUT", f"{service.url}/api/v1/files/{file_id}", peer="storage", data=b"x"
        ):
            pass
    async with ingester.request("GET", f"{service.url}/metrics", peer="storage") as answer:
        lines = (await answer.text()).splitlines()

    counted = 'method="PUT",route="/api/v1/files/{file_id}",service="storage",status="201"'
    assert f"http_requests_total{{{counted}}} 2.0" in lines
    bucket = 'http_request_duration_seconds_bucket{le="+Inf",route="/api/v1/files/{file_id}"'
    assert any(line.startswith(bucket) for line in lines)


def test_ready_names_what_is_missing_and_not_where(pki: Pki) -> None:
    with served(pki, "broken") as service:
        status, body = raw(service, tls_context(pki), closing("GET", "/health/ready"))

    problem = json.loads(body)
    assert status == 503
    assert problem["checks"] == {"disk": "ok", "database": "unavailable"}
    assert b"10.0.0.1" not in body


def test_a_peer_that_hangs_does_not_hold_up_the_end(pki: Pki) -> None:
    """It keeps a connection open, and never answers TLS's farewell."""
    context = tls_context(pki, pki.files("ingester"))
    with (
        served(pki, "storage-1", SHUTDOWN_GRACE_S=3600) as service,
        asked(service, context, "/api/v1/numbers/7") as tls,
    ):
        assert b"200 OK" in tls.recv(65536)
        service.process.terminate()
        # Left alone, TLS waits for 30 s.
        wait_until(lambda: service.process.poll() is not None, "the end", limit_s=20)


def test_a_slow_reader_gets_all_of_it_before_the_end(pki: Pki) -> None:
    context = tls_context(pki, pki.files("ingester"))
    with (
        served(pki, "storage-1", SHUTDOWN_GRACE_S=3600) as service,
        asked(service, context, "/api/v1/large") as tls,
    ):
        head = tls.recv(100)
        service.process.terminate()
        wait_until(lambda: not listens(service.port), "no more connections being taken")
        # Longer than the farewell: what it has not got yet must not be cut off.
        with contextlib.suppress(subprocess.TimeoutExpired):
            service.process.wait(2 * FAREWELL_S)
        size = len(head)
        while chunk := tls.recv(1 << 20):
            size += len(chunk)
    assert size > LARGE_BYTES
