"""Who may see Prometheus, AlertManager and Grafana: asked by the edge for each of their pages.

Browsers open pages without an access token. So a page of ours first has the token put into a
cookie, which only the pages of monitoring get: no script can read it, no other site can have it
sent, and the edge takes it off before it passes a request on.
"""

from typing import Annotated, Final
from urllib.parse import unquote

from fastapi import APIRouter, Depends, Request, Response

from artstore.admin.dependencies import ResourcesDep
from artstore.core.errors import InvalidToken
from artstore.core.model.account import Caller, Scope
from artstore.core.web.authentication import (
    authenticate_token,
    bearer_token,
    check_scope,
    require_peer,
    require_scope,
)

router = APIRouter(prefix="/api/v1/monitoring", tags=["monitoring"])

COOKIE: Final = "__Secure-artstore-monitoring"
PAGES: Final = "/monitoring"
GRAFANA: Final = f"{PAGES}/grafana/"
_READING: Final = frozenset({"GET", "HEAD", "OPTIONS"})


@router.post("/session", status_code=204)
async def open_session(
    request: Request,
    caller: Annotated[Caller, Depends(require_scope(Scope.MONITORING_READ))],
    parts: ResourcesDep,
) -> Response:
    """The pages of monitoring open for this browser until the access token ends."""
    response = Response(status_code=204)
    response.set_cookie(
        COOKIE,
        bearer_token(request),
        max_age=max(0, int((caller.expires_at - parts.clock.now()).total_seconds())),
        path=PAGES,
        secure=True,
        httponly=True,
        samesite="strict",
    )
    return response


@router.delete("/session", status_code=204)
async def close_session() -> Response:
    response = Response(status_code=204)
    response.delete_cookie(COOKIE, path=PAGES, secure=True, httponly=True, samesite="strict")
    return response


@router.get("/access", status_code=204, dependencies=[Depends(require_peer("edge"))])
async def check_access(request: Request) -> Response:
    """204 when the request that the edge describes may pass, and who asks.

    Raises:
        InvalidToken, NotPermitted: It may not.
    """
    caller = await authenticate_token(request, _token(request))
    check_scope(caller, Scope.MONITORING_READ)
    changes = Scope.ADMIN_WRITE in caller.scopes
    if not _only_reads(request):
        check_scope(caller, Scope.ADMIN_WRITE)
    return Response(
        status_code=204,
        headers={
            "X-Webauth-User": caller.name,
            "X-Webauth-Role": "Admin" if changes else "Viewer",
            "Cache-Control": "no-store",
        },
    )


def _token(request: Request) -> str:
    if "authorization" in request.headers:
        return bearer_token(request)
    cookie = request.cookies.get(COOKIE)
    if not cookie:
        raise InvalidToken
    return cookie


def _only_reads(request: Request) -> bool:
    """Grafana asks its questions by POST, and knows by the role who may change what."""
    method = request.headers.get("x-forwarded-method", "")
    path = unquote(request.headers.get("x-forwarded-uri", "").partition("?")[0])
    # The edge takes `..` out before it chooses who gets the request.
    stays = path.startswith(GRAFANA) and ".." not in path.split("/")
    return method in _READING or (method == "POST" and stays)
