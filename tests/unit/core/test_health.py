"""Readiness is asked every second or so; the log tells what changed."""

import pytest
from starlette.applications import Starlette
from starlette.testclient import TestClient
from starlette.types import Receive, Scope, Send

from artstore.core.errors import Unavailable
from artstore.core.tls import PeerIdentity
from artstore.core.web.health import health_routes
from artstore.core.web.middleware import PEER_EXTENSION


class Database:
    is_up = True

    async def check(self) -> None:
        if not self.is_up:
            raise Unavailable("at 10.0.0.1")


def test_a_dependency_is_logged_when_it_goes_and_when_it_is_back(
    capsys: pytest.CaptureFixture[str],
) -> None:
    database = Database()
    app = Starlette(routes=health_routes({"database": database.check}))
    client = TestClient(app, raise_server_exceptions=False)

    for is_up in (True, False, False, False, True, True):
        database.is_up = is_up
        assert client.get("/health/ready").status_code == (200 if is_up else 503)

    said = capsys.readouterr().out
    assert said.count("dependency is not ready") == 1
    assert said.count("dependency is back") == 1
    assert client.get("/health/ready").json()["checks"] == {"database": "ok"}


def test_only_a_service_of_ours_hears_why() -> None:
    database = Database()
    database.is_up = False
    app = Starlette(routes=health_routes({"database": database.check}))

    async def with_certificate(scope: Scope, receive: Receive, send: Send) -> None:
        scope["extensions"] = {PEER_EXTENSION: PeerIdentity("admin", "admin-1")}
        await app(scope, receive, send)

    stranger = TestClient(app).get("/health/ready")
    assert "10.0.0.1" not in stranger.text
    known = TestClient(with_certificate).get("/health/ready")
    assert known.json()["reasons"] == {"database": "at 10.0.0.1"}
