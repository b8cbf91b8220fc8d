"""Goal: every route names who may call it: services by their module, everybody else by a token.

Method: all routes of all modules, as their applications list them, are asked over the network by a
service that nobody knows, with a certificate that is right and no token. A new route that forgot
to say whom it serves answers, and fails here.
"""

import secrets
import uuid

import pytest
from tests.security.certificates.conftest import MODULES, Listeners
from tests.support.routes import routes

EVERYBODY = {
    ("GET", "/health/live"): "probes have no certificate",
    ("GET", "/health/ready"): "probes have no certificate",
    ("GET", "/metrics"): "every service of the installation may look",
}
NOTHING_TO_SEE = {
    ("OPTIONS", "/api/v1/uploads"): "says what the protocol can",
    ("OPTIONS", "/api/v1/uploads/{upload_id}"): "says what the protocol can",
    ("POST", "/api/v1/uploads/{upload_id}"): "stands for another method, and here for none",
    ("DELETE", "/api/v1/monitoring/session"): "makes the caller's own browser forget a cookie",
}
TO_SIGN_IN = {
    "/.well-known/jwks.json": "public keys",
    "/.well-known/receipt-keys.json": "public keys",
    "/api/v1/admin-auth/ways": "says how to sign in",
    "/.well-known/oauth-authorization-server": "says where to sign in",
}
"""Of the admin module: asked by who has no token yet."""
CREDENTIALS_IN_THE_BODY = ("/api/v1/auth/", "/api/v1/admin-auth/")
"""Whoever brings none of them gets nothing: a refusal without a word of content."""


def concrete(path: str) -> str:
    while "{" in path:
        before, _, rest = path.partition("{")
        name, _, after = rest.partition("}")
        value = str(uuid.uuid4()) if "id" in name else secrets.token_hex(4)
        path = before + value + after
    return path


@pytest.fixture(scope="module")
def every() -> list[tuple[str, str, str]]:
    return routes()


def test_all_modules_have_routes(every: list[tuple[str, str, str]]) -> None:
    assert {module for module, _, _ in every} == set(MODULES)
    assert len(every) > 100


def test_a_service_that_no_route_names_gets_nothing(
    listeners: Listeners, every: list[tuple[str, str, str]]
) -> None:
    files = listeners.pki.files("nobody")
    context = listeners.context(files.certificate, files.key)
    answered = {}
    for module, method, path in every:
        if (method.replace("HEAD", "GET"), path) in EVERYBODY or path in TO_SIGN_IN:
            continue
        if (method, path) in NOTHING_TO_SEE:
            continue
        status = listeners.ask(module, context, concrete(path), method)
        refusals = {403} if module == "storage" else {401, 403}
        if path.startswith(CREDENTIALS_IN_THE_BODY):
            refusals = {400, 401, 403, 404, 422, 429}
        if status not in refusals:
            answered[(module, method, path)] = status
    lines = [f"{status} {' '.join(route)}" for route, status in answered.items()]
    assert not lines, "\n".join(lines)
