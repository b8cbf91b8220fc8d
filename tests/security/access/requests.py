"""One request for each route: whole enough that only the right to make it is in question, and
harmless where that right is there."""

from base64 import b64encode
from dataclasses import dataclass, field
from typing import Any

from tests.support.access_world import UNKNOWN_ID, AccessWorld

NO_DIGEST = f"sha-256=:{'A' * 43}=:"
"""Of no content: an upload that may happen ends with 422, and nothing is kept."""
MALFORMED: list[object] = []
"""No route takes a list: who may ask is told so with 422."""


@dataclass(frozen=True)
class Ask:
    body: Any = None
    params: dict[str, str] = field(default_factory=dict)
    headers: dict[str, str] = field(default_factory=dict)
    content: bytes | None = None


def path_of(route: str, world: AccessWorld, collection: str) -> str:
    path = route.split(" ")[1]
    values = {
        "file_id": world.files[collection],
        "name": collection,
        "collection": collection,
        "subject": world.subject,
        "client_id": "no-such-account",
        "element_id": "no-such-element",
        "user_id": UNKNOWN_ID,
        "session_id": UNKNOWN_ID,
        "passkey_id": "00",
        "upload_id": UNKNOWN_ID,
        "job_id": "9000000000",
        "index": "0",
    }
    for name, value in values.items():
        path = path.replace(f"{{{name}}}", value)
    return path


def ask_of(route: str, collection: str) -> Ask:
    """Most need nothing of their own."""
    special = {
        "POST /api/v1/files": Ask(
            params={"filename": "x", "collection": collection},
            headers={"Repr-Digest": NO_DIGEST},
            content=b"x",
        ),
        "POST /api/v1/uploads": Ask(
            headers={
                "Tus-Resumable": "1.0.0",
                "Upload-Length": "1",
                "Upload-Metadata": _metadata(filename="x", collection=collection),
            }
        ),
        "POST /api/v1/collections": Ask(body={"collection": collection}),
        "PATCH /api/v1/collections/{name}": Ask(body={"title": "x"}),
        "PUT /api/v1/grants/{subject}/{collection}": Ask(body={"rights": ["read"]}),
        "GET /api/v1/monitoring/access": Ask(headers={"X-Forwarded-Method": "GET"}),
        "GET /api/v1/grants": Ask(params={"collection": collection}),
        "GET /api/v1/search": Ask(params={"q": "x", "collection": collection}),
        "GET /api/v1/files": Ask(params={"collection": collection}),
    }
    special |= {
        "POST /api/v1/admin-auth/change-password": Ask(
            body={"current_password": "x" * 20, "new_password": "y" * 20}
        ),
        "POST /api/v1/admin-auth/step-up": Ask(body={"code": "000000"}),
        "POST /api/v1/admin-auth/one-time-password/confirm": Ask(body={"code": "000000"}),
        "POST /api/v1/admin-auth/passkeys": Ask(
            body={"challenge_id": UNKNOWN_ID, "passkey": {}, "name": "x"}
        ),
    }
    if route in special:
        return special[route]
    tus = {"Tus-Resumable": "1.0.0"} if "/uploads" in route else {}
    method = route.split(" ", maxsplit=1)[0]
    return Ask(body=MALFORMED if method in ("POST", "PUT", "PATCH") else None, headers=tus)


def _metadata(**fields: str) -> str:
    return ",".join(
        f"{name} {b64encode(value.encode()).decode()}" for name, value in fields.items()
    )
