"""HTTP face of revocations: ordered by administrators, followed by the other modules."""

from datetime import datetime
from typing import Annotated, Literal
from uuid import UUID

from fastapi import APIRouter, Depends, Query, Response
from pydantic import BaseModel, Field, model_validator

from artstore.admin.dependencies import BoundTrailDep, FreshAdminDep, ResourcesDep, SessionDep
from artstore.admin.model import Remark
from artstore.admin.services.audit.trail import Deed
from artstore.admin.services.identity.revocation import TOKEN_LIFETIME_MAX
from artstore.core.errors import InvalidRequest
from artstore.core.model.account import Scope
from artstore.core.model.audit import AuditKind, PersonalField, Target
from artstore.core.model.moments import Moment
from artstore.core.model.page import Page
from artstore.core.revocation import Revocation, RevocationNews
from artstore.core.web.authentication import require_peer, require_scope

router = APIRouter(prefix="/api/v1/revocations", tags=["identity"])

WAIT_MAX_S = 20


class RevocationOrder(BaseModel):
    """`everything`: all tokens issued before `issued_before`, or before now."""

    kind: Literal["token", "session", "account", "everything"]
    value: Annotated[str, Field(max_length=200, pattern=r"^[\w:.-]*$")] = ""
    """Id of the token (`jti`) or session (`sid`); subject of the person or account."""
    issued_before: Moment | None = None
    reason: Annotated[Remark, Field(min_length=1, max_length=1000)]

    @model_validator(mode="after")
    def _names_something(self) -> "RevocationOrder":
        if (self.kind == "everything") == bool(self.value):
            raise ValueError("a token, session or account is named by its id, everything by none")
        return self


@router.post("", status_code=204)
async def revoke(
    body: RevocationOrder,
    caller: FreshAdminDep,
    parts: ResourcesDep,
    session: SessionDep,
    audit: BoundTrailDep,
) -> Response:
    """In force everywhere within a second."""
    now = parts.clock.now()
    by, revocations = caller.subject, parts.revocations
    match body.kind:
        case "token":
            ends_at = now + TOKEN_LIFETIME_MAX
            await revocations.revoke_token(session, body.value, ends_at, by, body.reason)
        case "session":
            await parts.sessions.end(session, _id(body.value), by, body.reason)
        case "account":
            await revocations.revoke_subject(session, _subject(body.value), by, body.reason)
        case "everything":
            await revocations.revoke_everything(
                session, _not_later(body.issued_before, now), by, body.reason
            )
    target = Target(type=body.kind, id=body.value or "everything")
    reason = {PersonalField.REASON: body.reason}
    await audit.record(Deed(AuditKind.TOKEN_REVOKED, target=target, personal=reason))
    return Response(status_code=204)


@router.get("", dependencies=[Depends(require_scope(Scope.ADMIN_READ))])
async def list_revocations(parts: ResourcesDep) -> Page[Revocation]:
    """Those that still concern any token."""
    return Page(items=parts.revocations.mirror.beyond(0), next_cursor=None)


@router.get(
    "/news", dependencies=[Depends(require_peer("ingester", "query"))], include_in_schema=False
)
async def read_news(
    parts: ResourcesDep,
    after: Annotated[int, Query(ge=0)],
    wait: Annotated[int, Query(ge=0, le=WAIT_MAX_S)] = 0,
) -> RevocationNews:
    """For the mirrors of other modules: what was revoked behind `after`, once there is any."""
    mirror = parts.revocations.mirror
    mirror.check_age()
    found = await mirror.wait_beyond(after, wait) if wait else mirror.beyond(after)
    return RevocationNews(revocations=found, age_s=mirror.age_s)


def _subject(value: str) -> str:
    kind, _, _ = value.partition(":")
    if kind not in ("user", "account"):
        raise InvalidRequest("a subject is user:<id> or account:<id>", field="value")
    return value


def _id(value: str) -> UUID:
    try:
        return UUID(value)
    except ValueError:
        raise InvalidRequest("a session is named by its id", field="value") from None


def _not_later(moment: datetime | None, now: datetime) -> datetime:
    if moment is not None and moment > now:
        raise InvalidRequest("only tokens that were issued can be revoked", field="issued_before")
    return moment or now
