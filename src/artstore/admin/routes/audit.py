"""HTTP face of the audit log."""

import re
from base64 import b64encode
from collections.abc import AsyncIterator, Sequence
from datetime import datetime
from typing import Annotated, Final, Self
from uuid import UUID

import orjson
from fastapi import APIRouter, Depends, Path, Query, Response
from fastapi.responses import StreamingResponse
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from artstore.admin.dependencies import (
    PAGE_ITEMS_MAX,
    AuditDep,
    ErasureDep,
    FreshAdminDep,
    LimitParam,
    SessionDep,
    TrailDep,
    WhoDep,
)
from artstore.admin.repository import audit_log
from artstore.admin.repository.audit_erasure import Erasing
from artstore.admin.repository.audit_events import EventFilter, LoggedEvent
from artstore.admin.services.audit.reading import Proven
from artstore.admin.services.audit.trail import Deed, plain_text
from artstore.core.errors import InvalidRequest
from artstore.core.model.account import Caller, Scope
from artstore.core.model.audit import ID_CHARS_MAX, AuditKind, Outcome, PersonalField
from artstore.core.model.ids import parse_file_id
from artstore.core.model.moments import Moment
from artstore.core.web.authentication import require_scope_everywhere

router = APIRouter(prefix="/api/v1/audit", tags=["audit"])
ReaderDep = Annotated[Caller, Depends(require_scope_everywhere(Scope.AUDIT_READ))]

LOG_INDEX_MAX: Final = (1 << 53) - 1
_CURSOR = re.compile(r"([0-9]{4}-[0-9T:.+Z-]{1,40})_([0-9]{1,16})")

IndexParam = Annotated[int, Query(ge=0, le=LOG_INDEX_MAX)]
IndexPath = Annotated[int, Path(ge=0, le=LOG_INDEX_MAX)]
# As the index holds them: no NUL, which PostgreSQL would not take either.
Id = Annotated[str, Query(max_length=ID_CHARS_MAX), AfterValidator(plain_text)]


class AuditKeys(BaseModel):
    """Whom to believe. Compare it with what was published elsewhere."""

    origin: str
    log_keys: list[str]
    witness_keys: list[str]
    quorum: int


class ConsistencyProof(BaseModel):
    """RFC 6962, 2.1.2. Hashes in base64; `root` is the one of size `second`."""

    first: int
    second: int
    root: str
    hashes: list[str]


class ErasureOrder(BaseModel):
    """Whose facts, and which. At least one of the first four narrows it."""

    model_config = ConfigDict(extra="forbid")

    person: Id | None = None
    account: Id | None = None
    file_id: UUID | None = None
    event_ids: Annotated[list[UUID], Field(min_length=1, max_length=1000)] | None = None
    until: Moment | None = None
    """Of events before; later ones keep their facts."""
    fields: list[PersonalField] = []
    """None named means all."""
    reason: Annotated[str, Field(min_length=1, max_length=1000)]

    @model_validator(mode="after")
    def _is_narrow(self) -> Self:
        if (self.person or self.account or self.file_id or self.event_ids) is None:
            raise ValueError("say whose facts: person, account, file_id or event_ids")
        return self

    @property
    def erasing(self) -> Erasing:
        return Erasing(self.person, self.account, self.file_id, self.event_ids, self.until)


class Erased(BaseModel):
    events: int
    """How many lost facts."""


class EventQuery(BaseModel):
    model_config = ConfigDict(extra="ignore")

    since: Moment | None = None
    until: Moment | None = None
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
    return _page(found, next_cursor)


@router.get("/files/{file_id}")
async def file_timeline(
    file_id: str,
    _: ReaderDep,
    audit: AuditDep,
    cursor: Annotated[str, Query(pattern=r"^[0-9]{0,16}$")] = "",
    limit: LimitParam = PAGE_ITEMS_MAX,
) -> Response:
    """Everything that happened to a file, the oldest first."""
    after = int(cursor) if cursor else -1
    found = await audit.history(UUID(parse_file_id(file_id)), after, limit)
    return _page(found, str(found[-1].log_index) if len(found) == limit else None)


@router.get("/files/{file_id}/proof")
async def file_proof(
    file_id: str,
    _: ReaderDep,
    audit: AuditDep,
    receipt_key: Annotated[str | None, Query(pattern=r"^[A-Za-z0-9_-]{43}$")] = None,
) -> Response:
    """All events of a file with their proofs in one state of the log; that state's time stamp,
    if it has one; and the file's record, also when it was deleted. Both in base64. With a
    `receipt_key` also the event that this key of deposit receipts was registered."""
    found = await audit.proven_history(UUID(parse_file_id(file_id)), receipt_key)
    stamp, record = (
        orjson.dumps(b64encode(data).decode() if data else None)
        for data in (found.timestamp, found.record)
    )
    items = b",".join(map(_proven_json, found.events))
    key = _proven_json(found.receipt_key) if found.receipt_key else b"null"
    return _json(
        b'{"items":[%b],"receipt_key":%b,"record":%b,"timestamp":%b}' % (items, key, record, stamp)
    )


@router.get("/proof/{index}")
async def entry_proof(index: IndexPath, _: ReaderDep, audit: AuditDep) -> Response:
    return _json(_proven_json(await audit.prove(index)))


@router.get("/consistency")
async def consistency_proof(
    _: ReaderDep,
    audit: AuditDep,
    first: IndexParam,
    second: Annotated[int | None, Query(ge=0, le=LOG_INDEX_MAX)] = None,
) -> ConsistencyProof:
    """That the log was only added to between two sizes; without `second` up to the newest."""
    found = await audit.consistency(first, second)
    return ConsistencyProof(
        first=found.first,
        second=found.second,
        root=b64encode(found.root).decode(),
        hashes=[b64encode(item).decode() for item in found.proof],
    )


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
    caller: FreshAdminDep, session: SessionDep, trail: TrailDep, who: WhoDep
) -> dict[str, list[str]]:
    """The log signs with new keys within seconds; what the old ones signed still counts."""
    retired = await audit_log.retire_keys(session, trail.now())
    deed = Deed(AuditKind.KEY_RETIRED, details={"audit_log_keys": retired})
    await trail.record(session, who.proven(caller), deed)
    return {"retired": retired}


@router.post("/erasures")
async def erase_personal(
    body: ErasureOrder, caller: FreshAdminDep, erasure: ErasureDep, who: WhoDep
) -> Erased:
    """Destroys personal facts for good; events, proofs and exports stay verifiable."""
    by = who.proven(caller)
    return Erased(events=await erasure.erase(body.erasing, body.fields, body.reason, by))


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


def _page(found: Sequence[LoggedEvent], next_cursor: str | None) -> Response:
    items = b",".join(map(_event_json, found))
    return _json(b'{"items":[%b],"next_cursor":%b}' % (items, orjson.dumps(next_cursor)))


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
