"""Readiness is asked every second or so; the log tells what changed."""

import pytest
from starlette.applications import Starlette
from starlette.testclient import TestClient

from artstore.core.errors import Unavailable
from artstore.core.web.health import health_routes


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
