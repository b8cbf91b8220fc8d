"""HTTP face of signing in with an outside identity provider.

The browser comes by links and redirects, so these two are GET; neither changes anything without
a ticket that this server made, and the session begins with a POST of our own pages.
"""

from typing import Annotated, Final

from fastapi import APIRouter, Depends, Query, Request, Response
from pydantic import BaseModel

from artstore.admin.dependencies import ResourcesDep, WhoDep
from artstore.admin.routes.people_sign_in import SignInAnswer, answer, check_origin
from artstore.admin.services.identity.outside.sign_in import (
    ARRIVAL_LIFETIME,
    REQUEST_LIFETIME,
    OutsideSignIn,
)
from artstore.core.errors import UnknownRoute
from artstore.core.web.authentication import limit_strangers

router = APIRouter(prefix="/api/v1/admin-auth", tags=["people"])

REQUEST_COOKIE: Final = "__Host-artstore-oidc"
ARRIVAL_COOKIE: Final = "__Host-artstore-arrival"
"""`__Host-`: no other host of the same domain can plant one."""
PAGES: Final = "/"
"""Where our own pages begin; they call `finish`."""


class WaysIn(BaseModel):
    password: bool = True
    provider: str | None
    """What people call the outside identity provider; `null` where there is none."""


def _outside(parts: ResourcesDep) -> OutsideSignIn:
    if parts.outside is None:
        raise UnknownRoute("no outside identity provider is set up here")
    return parts.outside


OutsideDep = Annotated[OutsideSignIn, Depends(_outside)]


@router.get("/ways")
async def ways_in(parts: ResourcesDep) -> WaysIn:
    """What a sign-in page offers."""
    name = parts.settings.oidc_name if parts.outside is not None else None
    return WaysIn(provider=name)


@router.get("/oidc", status_code=303, response_class=Response)
async def begin(
    request: Request, outside: OutsideDep, fresh: Annotated[bool, Query()] = False
) -> Response:
    """To the provider. With `fresh`, people prove anew who they are: the step-up of those who
    have no second factor here."""
    limit_strangers(request)
    begun = await outside.begin(fresh=fresh)
    response = _onward(begun.location)
    # Lax: the provider sends the browser back from another site.
    _carry(response, REQUEST_COOKIE, begun.ticket, REQUEST_LIFETIME.seconds, lax=True)
    return response


@router.get("/oidc/callback", status_code=303, response_class=Response)
async def returned(request: Request, outside: OutsideDep, who: WhoDep) -> Response:
    """Back from the provider."""
    parameters = dict(request.query_params)
    if len(parameters) != len(request.query_params.multi_items()):
        parameters = {}
    ticket = await outside.returned(parameters, request.cookies.get(REQUEST_COOKIE), who)
    response = _onward(PAGES)
    _carry(response, ARRIVAL_COOKIE, ticket, ARRIVAL_LIFETIME.seconds)
    _carry(response, REQUEST_COOKIE, "", 0, lax=True)
    return response


@router.post("/oidc/finish", response_model=SignInAnswer)
async def finish(
    request: Request, outside: OutsideDep, parts: ResourcesDep, who: WhoDep
) -> Response:
    """As `login`, for whom the provider has vouched a moment ago in the same browser."""
    check_origin(request, parts.settings.issuer)
    signed_in = await outside.finish(request.cookies.get(ARRIVAL_COOKIE), who)
    response = answer(signed_in, cookie=True)
    _carry(response, ARRIVAL_COOKIE, "", 0)
    return response


def _onward(location: str) -> Response:
    return Response(status_code=303, headers={"Location": location, "Cache-Control": "no-store"})


def _carry(response: Response, name: str, value: str, seconds: int, *, lax: bool = False) -> None:
    response.set_cookie(
        name,
        value,
        max_age=seconds,
        path="/",
        secure=True,
        httponly=True,
        samesite="lax" if lax else "strict",
    )
