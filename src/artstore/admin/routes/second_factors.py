"""HTTP face of second factors and sessions, as people manage their own."""

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Depends, Path, Response
from pydantic import BaseModel, Field

from artstore.admin.dependencies import (
    BoundTrailDep,
    CallerDep,
    PeopleSignInDep,
    ResourcesDep,
    SessionDep,
    SignedInDep,
    WhoDep,
    check_recent_proof,
)
from artstore.admin.model import Passkey, PersonSession, Remark, User
from artstore.admin.routes.people_sign_in import SignInAnswer, sign_in_answer
from artstore.admin.services.audit.trail import Deed
from artstore.admin.services.identity.people_sign_in import FactorSetUp, user_id_of
from artstore.admin.services.identity.second_factors import Challenge, Proof
from artstore.core.errors import InvalidToken, NotPermitted, UnknownAccount
from artstore.core.model.account import SIGN_IN_SCOPES, Caller, Scope
from artstore.core.model.audit import AuditKind, Target
from artstore.core.model.page import Page

router = APIRouter(prefix="/api/v1/admin-auth", tags=["people"])


class OfferedSecret(BaseModel):
    secret: str
    uri: str


class Code(BaseModel):
    code: Annotated[str, Field(max_length=64)]


class NewPasskey(BaseModel):
    challenge_id: UUID
    passkey: dict[str, object]
    name: Annotated[Remark, Field(min_length=1, max_length=100)]


class RecoveryCodes(BaseModel):
    recovery_codes: list[str]


class SetUp(RecoveryCodes):
    """After the first second factor: the way in is complete."""

    signed_in: SignInAnswer | None = None


async def _own_factors(
    caller: CallerDep, parts: ResourcesDep, session: SessionDep, sign_in: PeopleSignInDep
) -> Caller:
    """Whoever is just setting up the first one, or has just proven one."""
    if Scope.SECOND_FACTOR_SET_UP in caller.scopes:
        if await parts.factors.has_any(session, await sign_in.me(caller)):
            # The password alone was enough for this token; it is not any more.
            raise InvalidToken
        return caller
    if caller.scopes <= SIGN_IN_SCOPES:
        raise NotPermitted("finish signing in first")
    check_recent_proof(caller, parts)
    return caller


async def _user(caller: Annotated[Caller, Depends(_own_factors)], sign_in: PeopleSignInDep) -> User:
    return await sign_in.me(caller)


OwnCallerDep = Annotated[Caller, Depends(_own_factors)]
OwnerDep = Annotated[User, Depends(_user)]


@router.post("/one-time-password")
async def offer_one_time_password(
    user: OwnerDep, parts: ResourcesDep, session: SessionDep, response: Response
) -> OfferedSecret:
    """A secret for an authenticator app. It counts once a code of it was confirmed."""
    response.headers["Cache-Control"] = "no-store"
    secret, uri = await parts.factors.offer_one_time_password(session, user)
    return OfferedSecret(secret=secret, uri=uri)


@router.post("/one-time-password/confirm")
async def confirm_one_time_password(
    body: Code,
    caller: OwnCallerDep,
    sign_in: PeopleSignInDep,
    who: WhoDep,
    response: Response,
) -> SetUp:
    response.headers["Cache-Control"] = "no-store"
    return _shown(await sign_in.set_up_one_time_password(caller, body.code, who))


@router.delete("/one-time-password", status_code=204)
async def remove_one_time_password(
    user: OwnerDep, parts: ResourcesDep, session: SessionDep, audit: BoundTrailDep
) -> Response:
    await parts.factors.remove_one_time_password(session, user)
    await audit.record(_removed(user, "one-time password"))
    return Response(status_code=204)


@router.post("/recovery-codes")
async def new_recovery_codes(
    user: OwnerDep,
    parts: ResourcesDep,
    session: SessionDep,
    audit: BoundTrailDep,
    response: Response,
) -> RecoveryCodes:
    """Each is good once, in place of a second factor. Those before are worth nothing."""
    response.headers["Cache-Control"] = "no-store"
    made = await parts.factors.new_recovery_codes(session, user)
    target = Target(type="user", id=str(user.user_id))
    await audit.record(Deed(AuditKind.SECRET_CHANGED, target=target, details={"what": "recovery"}))
    return RecoveryCodes(recovery_codes=made)


@router.post("/passkeys/options")
async def passkey_options(user: OwnerDep, parts: ResourcesDep, session: SessionDep) -> Challenge:
    """What `navigator.credentials.create` needs."""
    return await parts.factors.registration(session, user)


@router.post("/passkeys", status_code=201)
async def register_passkey(
    body: NewPasskey,
    caller: OwnCallerDep,
    sign_in: PeopleSignInDep,
    who: WhoDep,
    response: Response,
) -> SetUp:
    response.headers["Cache-Control"] = "no-store"
    proof = Proof(challenge_id=body.challenge_id, passkey=body.passkey)
    return _shown(await sign_in.set_up_passkey(caller, proof, body.name, who))


@router.get("/passkeys")
async def list_passkeys(
    caller: SignedInDep, sign_in: PeopleSignInDep, parts: ResourcesDep, session: SessionDep
) -> Page[Passkey]:
    user = await sign_in.me(caller)
    return Page(items=await parts.factors.passkeys(session, user), next_cursor=None)


@router.delete("/passkeys/{passkey_id}", status_code=204)
async def remove_passkey(
    passkey_id: Annotated[str, Path(pattern=r"^([0-9a-f]{2}){1,1024}$")],
    user: OwnerDep,
    parts: ResourcesDep,
    session: SessionDep,
    audit: BoundTrailDep,
) -> Response:
    if not await parts.factors.remove_passkey(session, user, passkey_id):
        raise UnknownAccount("there is no such passkey")
    await audit.record(_removed(user, "passkey"))
    return Response(status_code=204)


@router.post("/passkeys/challenge")
async def passkey_challenge(
    caller: CallerDep, sign_in: PeopleSignInDep, parts: ResourcesDep, session: SessionDep
) -> Challenge:
    """What `navigator.credentials.get` needs, for the second half of signing in and for step-up."""
    if caller.scopes <= SIGN_IN_SCOPES - {Scope.SECOND_FACTOR_PROVE}:
        raise NotPermitted("there is another step to take first")
    return await parts.factors.challenge(session, await sign_in.me(caller))


@router.get("/sessions")
async def list_sessions(
    caller: SignedInDep, parts: ResourcesDep, session: SessionDep
) -> Page[PersonSession]:
    """One's own."""
    found = await parts.sessions.of_user(session, user_id_of(caller))
    return Page(items=found, next_cursor=None)


@router.delete("/sessions/{session_id}", status_code=204)
async def end_session(
    session_id: UUID, caller: SignedInDep, parts: ResourcesDep, session: SessionDep
) -> Response:
    """One's own; another's look like none."""
    own = await parts.sessions.of_user(session, user_id_of(caller))
    if session_id not in {each.session_id for each in own}:
        raise UnknownAccount("there is no such session")
    await parts.sessions.end(session, session_id, caller.subject, "signed out from elsewhere")
    return Response(status_code=204)


def _shown(done: FactorSetUp) -> SetUp:
    signed_in = None if done.signed_in is None else sign_in_answer(done.signed_in, cookie=False)
    return SetUp(recovery_codes=done.recovery_codes, signed_in=signed_in)


def _removed(user: User, what: str) -> Deed:
    target = Target(type="user", id=str(user.user_id))
    return Deed(AuditKind.SECRET_CHANGED, target=target, details={"removed": what})
