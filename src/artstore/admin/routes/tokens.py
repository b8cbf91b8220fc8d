"""Access tokens of machines (OAuth 2.0). People sign in at `/admin-auth`."""

from typing import Final, Literal, Self

from fastapi import APIRouter, Request, Response
from pydantic import BaseModel
from starlette.responses import JSONResponse
from starlette.routing import Route

from artstore.admin.dependencies import ResourcesDep, SignInDep, WhoDep, resources
from artstore.admin.routes.token_request import read_token_question, read_token_request
from artstore.admin.services.identity.tokens import AccessToken
from artstore.core.errors import InvalidCredentials
from artstore.core.web.asking import who_asks
from artstore.core.web.authentication import peer_of
from artstore.core.web.problems import problem_response

router = APIRouter(prefix="/api/v1", tags=["identity"])


class TokenAnswer(BaseModel):
    access_token: str
    token_type: Literal["Bearer"] = "Bearer"  # noqa: S105  a kind of token, not one
    expires_in: int
    scope: str

    @classmethod
    def of(cls, token: AccessToken) -> Self:
        return cls(
            access_token=token.token, expires_in=token.expires_in_s, scope=" ".join(token.scopes)
        )


async def issue_token(request: Request) -> Response:
    """OAuth 2.0 client credentials (RFC 6749, 4.4)."""
    sign_in, who = resources(request).sign_in, who_asks(request)
    try:
        wanted = await read_token_request(request)
        token = await sign_in.machine(
            wanted.client_id, wanted.client_secret, wanted.scopes, who, _certificate(request)
        )
    except InvalidCredentials:
        return _invalid_client()
    return _answer(token)


# Plain, and served first: machines ask for tokens all day.
hot_routes: Final = [Route("/api/v1/auth/token", issue_token, methods=["POST"])]


@router.post("/auth/revoke")
async def revoke_token(
    request: Request, parts: ResourcesDep, sign_in: SignInDep, who: WhoDep
) -> Response:
    """A client gives a token back (RFC 7009): it is worth nothing within a second."""
    try:
        asked = await read_token_question(request)
        account = await sign_in.client(asked.client_id, asked.client_secret, who)
    except InvalidCredentials:
        return _invalid_client()
    await parts.token_states.revoke(account, asked.token, who)
    return Response(status_code=200, headers={"Cache-Control": "no-store"})


@router.post("/auth/introspect")
async def introspect_token(
    request: Request, parts: ResourcesDep, sign_in: SignInDep, who: WhoDep
) -> Response:
    """Whether a token is good, and what for (RFC 7662)."""
    try:
        asked = await read_token_question(request)
        account = await sign_in.client(asked.client_id, asked.client_secret, who)
    except InvalidCredentials:
        return _invalid_client()
    told = await parts.token_states.introspect(account, asked.token)
    return JSONResponse(told, headers={"Cache-Control": "no-store"})


def _certificate(request: Request) -> str | None:
    """Of a machine that comes past the edge: its token is bound to the certificate (RFC 8705)."""
    peer = peer_of(request.scope)
    return None if peer is None or peer.module == "edge" else peer.thumbprint


def _invalid_client() -> Response:
    """The shape RFC 6749, 5.2 gives this failure; people's sign-in must not have it, or browsers
    would open a password window of their own."""
    response = problem_response(InvalidCredentials(error="invalid_client"))
    response.headers["WWW-Authenticate"] = 'Basic realm="artstore"'
    return response


def _answer(token: AccessToken) -> Response:
    return Response(
        TokenAnswer.of(token).model_dump_json(),
        media_type="application/json",
        headers={"Cache-Control": "no-store"},
    )
