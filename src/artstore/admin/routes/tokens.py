"""Access tokens: machines at `/auth/token` (OAuth 2.0), people at `/admin-auth`."""

from typing import Annotated, Literal, Self
from uuid import UUID

from fastapi import APIRouter, Depends, Request, Response
from pydantic import BaseModel, Field
from starlette.responses import JSONResponse

from artstore.admin.dependencies import CallerDep, ResourcesDep, SignInDep, WhoDep
from artstore.admin.routes.token_request import read_token_question, read_token_request
from artstore.admin.services.identity.hashing import SECRET_CHARS_MAX
from artstore.admin.services.identity.tokens import AccessToken
from artstore.core.errors import InvalidCredentials
from artstore.core.model.account import Caller, Scope, UserRole
from artstore.core.web.authentication import check_scope, peer_of
from artstore.core.web.problems import problem_response

router = APIRouter(prefix="/api/v1", tags=["identity"])

Secret = Annotated[str, Field(max_length=SECRET_CHARS_MAX)]


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


class LoginRequest(BaseModel):
    username: Secret
    password: Secret


class PasswordChange(BaseModel):
    current_password: Secret
    new_password: Secret


class Me(BaseModel):
    user_id: UUID
    username: str
    role: UserRole
    scopes: list[Scope]
    password_change_required: bool


@router.post("/auth/token", response_model=TokenAnswer)
async def issue_token(request: Request, sign_in: SignInDep, who: WhoDep) -> Response:
    """OAuth 2.0 client credentials (RFC 6749, 4.4)."""
    try:
        wanted = await read_token_request(request)
        token = await sign_in.machine(
            wanted.client_id, wanted.client_secret, wanted.scopes, who, _certificate(request)
        )
    except InvalidCredentials:
        return _invalid_client()
    return _answer(token)


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


@router.post("/admin-auth/login", response_model=TokenAnswer)
async def log_in(body: LoginRequest, sign_in: SignInDep, who: WhoDep) -> Response:
    return _answer(await sign_in.person(body.username, body.password, who))


async def _password_changer(caller: CallerDep) -> Caller:
    """Also people whose one-time password lets them do nothing else."""
    if Scope.PASSWORD_CHANGE not in caller.scopes:
        check_scope(caller, Scope.FILES_READ)
    return caller


@router.post("/admin-auth/change-password", response_model=TokenAnswer)
async def change_password(
    body: PasswordChange,
    caller: Annotated[Caller, Depends(_password_changer)],
    sign_in: SignInDep,
    who: WhoDep,
) -> Response:
    """Answers with a token that has all scopes of the role."""
    token = await sign_in.change_password(caller, body.current_password, body.new_password, who)
    return _answer(token)


@router.get("/admin-auth/me")
async def read_me(caller: CallerDep, sign_in: SignInDep) -> Me:
    user = await sign_in.me(caller)
    return Me(
        user_id=user.user_id,
        username=user.username,
        role=user.role,
        scopes=sorted(caller.scopes),
        password_change_required=user.password_change_required,
    )


def _answer(token: AccessToken) -> Response:
    return Response(
        TokenAnswer.of(token).model_dump_json(),
        media_type="application/json",
        headers={"Cache-Control": "no-store"},
    )
