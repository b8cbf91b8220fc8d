"""HTTP face of the audit log."""

import re
from collections.abc import AsyncIterator
from datetime import datetime
from typing import Annotated, Final
from uuid import UUID

import orjson
from fastapi import APIRouter, Depends, Path, Query, Response
from fastapi.responses import StreamingResponse
from pydantic import BaseModel

from artstore.admin.dependencies import (
    AdminDep,
    AuditDep,
    LimitParam,
    SessionDep,
    TrailDep,
    WhoDep,
)
from artstore.admin.repository import audit_log
from artstore.admin.repository.audit_events import EventFilter, LoggedEvent
from artstore.admin.services.audit.reading import Proven
from artstore.admin.services.audit.trail import Deed
from artstore.core.errors import InvalidRequest
from artstore.core.model.account import Caller, Scope
from artstore.core.model.audit import AuditKind, Outcome
from artstore.core.model.ids import parse_file_id
from artstore.core.web.authentication import require_scope

router = APIRouter(prefix="/api/v1/audit", tags=["audit"])
ReaderDep = Annotated[Caller, Depends(require_scope(Scope.AUDIT_READ))]

LOG_INDEX_MAX: Final = (1 << 53) - 1
_CURSOR = re.compile(r"([0-9]{4}-[0-9T:.+Z-]{1,40})_([0-9]{1,16})")

IndexParam = Annotated[int, Query(ge=0, le=LOG_INDEX_MAX)]
IndexPath = Annotated[int, Path(ge=0, le=LOG_INDEX_MAX)]
Id = Annotated[str, Query(max_length=200)]


class AuditKeys(BaseModel):
    """Whom to believe. Compare it with what was published elsewhere."""

    origin: str
    log_keys: list[str]
    witness_keys: list[str]
    quorum: int


class EventQuery(BaseModel):
    since: datetime | None = None
    until: datetime | None = None
    kind: AuditKind | None = None
    outcome: Outcome | None = None
    person: Id | None = None
    account: Id | None = None
    file_id: UUID | None = None
    collection: Id | None = None
    element_id: Id | None = None


@router.get("/events")
async def list_events(
    _: ReaderDep,
    audit: AuditDep,
    query: Annotated[EventQuery, Query()],
    cursor: Annotated[str, Query(max_length=80)] = "",
    limit: LimitParam = 100,
) -> Response:
    """The newest first. `since` counts in, `until` does not."""
    wanted = EventFilter(**query.model_dump())
    found = await audit.page(wanted, _after(cursor), limit)
    next_cursor = None
    if len(found) == limit:
        next_cursor = f"{found[-1].at.isoformat()}_{found[-1].log_index}"
    return _json(
        b'{"items":[%b],"next_cursor":%b}'
        % (b",".join(map(_event_json, found)), orjson.dumps(next_cursor))
    )


@router.get("/files/{file_id}")
async def file_history(file_id: str, _: ReaderDep, audit: AuditDep) -> Response:
    """Everything that happened to a file, the oldest first."""
    found = await audit.history(UUID(parse_file_id(file_id)))
    return _json(b'{"items":[%b],"next_cursor":null}' % b",".join(map(_event_json, found)))


@router.get("/files/{file_id}/proof")
async def file_proof(file_id: str, _: ReaderDep, audit: AuditDep) -> Response:
    """All events of a file with their proofs in one state of the log."""
    found = await audit.proven_history(UUID(parse_file_id(file_id)))
    return _json(b'{"items":[%b]}' % b",".join(map(_proven_json, found)))


@router.get("/proof/{index}")
async def entry_proof(index: IndexPath, _: ReaderDep, audit: AuditDep) -> Response:
    return _json(_proven_json(await audit.prove(index)))


@router.get("/checkpoint")
async def newest_checkpoint(_: ReaderDep, audit: AuditDep, confirmed: bool = False) -> Response:
    """c2sp.org/tlog-checkpoint: the newest one, or the newest that witnesses have confirmed."""
    state = await (audit.confirmed() if confirmed else audit.newest())
    return Response(state.note.to_bytes(), media_type="text/plain")


@router.get("/keys")
async def public_keys(_: ReaderDep, audit: AuditDep) -> AuditKeys:
    policy = await audit.policy()
    return AuditKeys(
        origin=policy.origin,
        log_keys=[str(key) for key in policy.log_keys],
        witness_keys=[str(key) for key in policy.witness_keys],
        quorum=policy.quorum,
    )


@router.post("/keys/rotate", status_code=202)
async def rotate_keys(
    caller: AdminDep, session: SessionDep, trail: TrailDep, who: WhoDep
) -> dict[str, list[str]]:
    """The log signs with new keys within seconds; what the old ones signed still counts."""
    retired = await audit_log.retire_keys(session, trail.now())
    deed = Deed(AuditKind.KEY_RETIRED, details={"audit_log_keys": retired})
    await trail.record(session, who.proven(caller), deed)
    return {"retired": retired}


@router.get("/export")
async def export(
    caller: ReaderDep,
    audit: AuditDep,
    session: SessionDep,
    trail: TrailDep,
    who: WhoDep,
    *,
    first: IndexParam = 0,
    end: Annotated[int | None, Query(ge=0, le=LOG_INDEX_MAX)] = None,
) -> Response:
    """Lines of JSON that `artstore audit verify` checks offline."""
    chunks: AsyncIterator[bytes] = await audit.export(first, end)
    deed = Deed(AuditKind.AUDIT_EXPORTED, details={"first": first, "end": end})
    await trail.record(session, who.proven(caller), deed)
    headers = {"Content-Disposition": 'attachment; filename="audit-export.jsonl"'}
    return StreamingResponse(chunks, media_type="application/x-ndjson", headers=headers)


def _after(cursor: str) -> tuple[datetime, int] | None:
    if not cursor:
        return None
    match = _CURSOR.fullmatch(cursor)
    try:
        at = datetime.fromisoformat(match[1]) if match else None
    except ValueError:
        at = None
    if match is None or at is None or at.tzinfo is None:
        raise InvalidRequest("the cursor is not one of this list", field="cursor")
    return at, int(match[2])


def _event_json(event: LoggedEvent) -> bytes:
    """The entry as it stands in the log, and what is known behind its commitments."""
    return b'{"event":%b,"index":%d,"personal":%b}' % (
        event.entry,
        event.log_index,
        event.facts or b"{}",
    )


def _proven_json(proven: Proven) -> bytes:
    text = proven.proof.to_bytes().decode()
    return _event_json(proven.event)[:-1] + b',"proof":%b}' % orjson.dumps(text)


def _json(body: bytes) -> Response:
    return Response(body, media_type="application/json", headers={"Cache-Control": "no-store"})
