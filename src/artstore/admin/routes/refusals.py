"""Refusals become audit events: whoever comes without a right, or without a valid token.

A handler of failures and not a dependency, so that a new route cannot forget it.
"""

from typing import Final

from fastapi import FastAPI
from starlette.requests import Request
from starlette.responses import Response

from artstore.admin.dependencies import resources, who_asks
from artstore.admin.services.audit.recent import Recently
from artstore.admin.services.audit.trail import Deed, Who
from artstore.core.errors import ArtStoreError, InvalidToken, NotPermitted, Unavailable
from artstore.core.model.audit import AuditKind, Outcome
from artstore.core.web.authentication import authenticate
from artstore.core.web.problems import problem_response

STRANGERS_PER_MINUTE: Final = 1
"""Events of one address without a valid token. Anybody can send thousands a second; they are
counted in the metrics, and must not fill the log."""


def add_refusal_audit(app: FastAPI) -> None:
    recently = Recently(STRANGERS_PER_MINUTE)

    async def on_refusal(request: Request, error: Exception) -> Response:
        assert isinstance(error, ArtStoreError)
        try:
            await _record(request, error, recently)
        except Unavailable as unavailable:
            return problem_response(unavailable)
        return problem_response(error)

    app.add_exception_handler(NotPermitted, on_refusal)
    app.add_exception_handler(InvalidToken, on_refusal)


async def _record(request: Request, error: ArtStoreError, recently: Recently) -> None:
    who = await _who(request)
    if who.subject is None and not recently.allows(who.address or ""):
        return
    parts = resources(request)
    deed = Deed(
        AuditKind.ACCESS_REFUSED,
        Outcome.REFUSED,
        problem=error.code,
        details={"method": request.method, "route": _route(request)},
    )
    async with parts.database.session() as session:
        await parts.trail.record(session, who, deed)


async def _who(request: Request) -> Who:
    who = who_asks(request)
    try:
        return who.proven(await authenticate(request))
    except (InvalidToken, Unavailable):
        return who


def _route(request: Request) -> str:
    """The template, never the path: a path may hold anything."""
    path = getattr(request.scope.get("route"), "path", None)
    return path if isinstance(path, str) else "unmatched"
