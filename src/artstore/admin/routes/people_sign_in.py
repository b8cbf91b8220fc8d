"""HTTP face of people's sign-in.

Programs get the refresh token in the answer. Browsers ask for a cookie instead, which no script
can read: `Secure`, `HttpOnly`, `SameSite=Strict`, sent to these addresses only. It opens nothing
by itself; whatever is done takes an access token in a header, which no other site can set. The
two addresses that look at the cookie also want a header of ours and our own origin.
"""

from typing import Annotated, Final, Literal
from uuid import UUID

from fastapi import APIRouter, Depends, Request, Response
from pydantic import BaseModel, Field

from artstore.admin.dependencies import (
    CallerDep,
    PeopleSignInDep,
    ResourcesDep,
    SignedInDep,
    WhoDep,
)
from artstore.admin.services.identity.hashing import SECRET_CHARS_MAX
from artstore.admin.services.identity.people_sign_in import SignedIn
from artstore.admin.services.identity.second_factors import Proof
from artstore.admin.services.identity.sessions import IDLE_MAX
from artstore.core.errors import InvalidToken, NotPermitted
from artstore.core.model.account import Caller, Scope, UserRole
from artstore.core.web.authentication import check_scope, limit_strangers, require_scope

router = APIRouter(prefix="/api/v1/admin-auth", tags=["people"])

COOKIE: Final = "__Secure-artstore-refresh"
COOKIE_PATH: Final = "/api/v1/admin-auth"
OWN_HEADER: Final = "x-artstore-request"
"""Another site cannot send it without asking first (CORS), and is told no."""

Secret = Annotated[str, Field(max_length=SECRET_CHARS_MAX)]


class SignInAnswer(BaseModel):
    access_token: str
    token_type: Literal["Bearer"] = "Bearer"  # noqa: S105  a kind of token, not one
    expires_in: int
    scope: str
    """`password:change`, `second-factor:set-up` and `second-factor:prove` name the step that is
    missing; anything else are the scopes of the role."""
    refresh_token: str | None = None
    """Where no cookie was asked for."""


class LoginRequest(BaseModel):
    username: Secret
    password: Secret
    code: Annotated[str | None, Field(max_length=64)] = None
    cookie: bool = False


class ProofRequest(BaseModel):
    """A code, or the answer of a passkey to a challenge."""

    code: Annotated[str | None, Field(max_length=64)] = None
    challenge_id: UUID | None = None
    passkey: dict[str, object] | None = None
    cookie: bool = False

    @property
    def proof(self) -> Proof:
        return Proof(self.code, self.challenge_id, self.passkey)


class RefreshRequest(BaseModel):
    refresh_token: Annotated[str, Field(max_length=200)]


class PasswordChange(BaseModel):
    current_password: Secret
    new_password: Secret
    cookie: bool = False


class Me(BaseModel):
    user_id: UUID
    username: str
    role: UserRole
    scopes: list[Scope]
    password_change_required: bool


@router.post("/login", response_model=SignInAnswer)
async def log_in(body: LoginRequest, sign_in: PeopleSignInDep, who: WhoDep) -> Response:
    signed_in = await sign_in.log_in(body.username, body.password, body.code, who)
    return answer(signed_in, cookie=body.cookie)


@router.post("/second-factor", response_model=SignInAnswer)
async def prove_second_factor(
    body: ProofRequest,
    caller: Annotated[Caller, Depends(require_scope(Scope.SECOND_FACTOR_PROVE))],
    sign_in: PeopleSignInDep,
    who: WhoDep,
) -> Response:
    """The second half of signing in."""
    return answer(await sign_in.prove_second_factor(caller, body.proof, who), cookie=body.cookie)


@router.post("/step-up", response_model=SignInAnswer)
async def step_up(
    body: ProofRequest, caller: SignedInDep, sign_in: PeopleSignInDep, who: WhoDep
) -> Response:
    """Before something dangerous: prove again who you are."""
    return answer(await sign_in.step_up(caller, body.proof, who), cookie=False)


@router.post("/refresh", response_model=SignInAnswer)
async def refresh(
    request: Request,
    sign_in: PeopleSignInDep,
    parts: ResourcesDep,
    who: WhoDep,
    body: RefreshRequest | None = None,
) -> Response:
    """The next access token. A refresh token that comes twice ends its session."""
    limit_strangers(request)
    if body is not None:
        return answer(await sign_in.refresh(body.refresh_token, who), cookie=False)
    check_origin(request, parts.settings.issuer)
    cookie = request.cookies.get(COOKIE)
    if cookie is None:
        raise InvalidToken
    return answer(await sign_in.refresh(cookie, who), cookie=True)


@router.post("/logout", status_code=204)
async def log_out(caller: SignedInDep, sign_in: PeopleSignInDep, who: WhoDep) -> Response:
    await sign_in.log_out(caller, who)
    response = Response(status_code=204)
    response.delete_cookie(COOKIE, path=COOKIE_PATH, secure=True, httponly=True, samesite="strict")
    return response


async def _password_changer(caller: CallerDep) -> Caller:
    """Also people whose one-time password lets them do nothing else."""
    if Scope.PASSWORD_CHANGE not in caller.scopes:
        check_scope(caller, Scope.FILES_READ)
    return caller


@router.post("/change-password", response_model=SignInAnswer)
async def change_password(
    body: PasswordChange,
    caller: Annotated[Caller, Depends(_password_changer)],
    sign_in: PeopleSignInDep,
    who: WhoDep,
) -> Response:
    """All sessions end; the answer holds a new one, or the token for the next step."""
    signed_in = await sign_in.change_password(caller, body.current_password, body.new_password, who)
    return answer(signed_in, cookie=body.cookie)


@router.get("/me")
async def read_me(caller: CallerDep, sign_in: PeopleSignInDep) -> Me:
    user = await sign_in.me(caller)
    return Me(
        user_id=user.user_id,
        username=user.username,
        role=user.role,
        scopes=sorted(caller.scopes),
        password_change_required=user.password_change_required,
    )


def sign_in_answer(signed_in: SignedIn, *, cookie: bool) -> SignInAnswer:
    access = signed_in.access
    return SignInAnswer(
        access_token=access.token,
        expires_in=access.expires_in_s,
        scope=" ".join(access.scopes),
        refresh_token=None if cookie else signed_in.refresh_token,
    )


def answer(signed_in: SignedIn, *, cookie: bool) -> Response:
    refresh_token = signed_in.refresh_token
    body = sign_in_answer(signed_in, cookie=cookie)
    response = Response(
        body.model_dump_json(exclude_none=True),
        media_type="application/json",
        headers={"Cache-Control": "no-store", "Pragma": "no-cache"},
    )
    if cookie and refresh_token is not None:
        response.set_cookie(
            COOKIE,
            refresh_token,
            max_age=int(IDLE_MAX.total_seconds()),
            path=COOKIE_PATH,
            secure=True,
            httponly=True,
            samesite="strict",
        )
    return response


def check_origin(request: Request, origin: str) -> None:
    """
    Raises:
        NotPermitted: Another site may have sent this request.
    """
    if request.headers.get("origin", origin) != origin or OWN_HEADER not in request.headers:
        raise NotPermitted("this request does not come from our own pages")
