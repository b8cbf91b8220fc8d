"""Changing and deleting files. Reading them is the query module's work."""

import re
from collections.abc import Awaitable, Callable
from typing import Annotated, Final

from fastapi import APIRouter, Depends, Header, Query, Response

from artstore.admin.dependencies import FilesDep, ResourcesDep, RestoresDep, WhoDep
from artstore.core.errors import ForeignFile, InvalidRequest
from artstore.core.model.account import Caller, Right, Scope
from artstore.core.model.file import FileChange, FileRecord
from artstore.core.model.ids import parse_file_id
from artstore.core.model.restored import Restore
from artstore.core.web.authentication import require_scope

router = APIRouter(prefix="/api/v1/files", tags=["files"])

REASON_CHARS_MAX: Final = 1000
_REVISION_TAG = re.compile(r'"(\d{1,9})"')


def _permitted(scope: Scope, right: Right) -> Callable[..., Awaitable[Caller]]:
    """A dependency: the caller, if its scopes and its grants allow it for this file."""

    async def dependency(
        file_id: str,
        caller: Annotated[Caller, Depends(require_scope(scope))],
        files: FilesDep,
        parts: ResourcesDep,
    ) -> Caller:
        if caller.grants is None:
            return caller
        collection = (await files.record(parse_file_id(file_id))).collection
        now = parts.clock.now()
        if not any(caller.may(some_right, collection, now) for some_right in Right):
            raise ForeignFile
        caller.check(right, collection, now)
        return caller

    return dependency


ReaderDep = Annotated[Caller, Depends(_permitted(Scope.FILES_READ, Right.READ))]
WriterDep = Annotated[Caller, Depends(_permitted(Scope.FILES_WRITE, Right.WRITE))]
DeleterDep = Annotated[Caller, Depends(_permitted(Scope.FILES_DELETE, Right.DELETE))]


@router.patch("/{file_id}", response_model=FileRecord)
async def change_file(
    file_id: str,
    body: FileChange,
    caller: WriterDep,
    files: FilesDep,
    who: WhoDep,
    *,
    if_match: Annotated[str | None, Header()] = None,
) -> Response:
    """Name, tags or metadata. `If-Match` with the record's ETag refuses a lost update."""
    change = body
    if if_match is not None:
        change = body.model_copy(update={"expected_revision": _revision(if_match)})
    return _answer(await files.change(parse_file_id(file_id), change, who.proven(caller)))


@router.delete("/{file_id}", response_model=FileRecord)
async def delete_file(
    file_id: str,
    caller: DeleterDep,
    files: FilesDep,
    who: WhoDep,
    reason: Annotated[
        str, Query(min_length=1, max_length=REASON_CHARS_MAX)
    ] = "no reason was given",
) -> Response:
    """Answers with the tombstone, also when the file was deleted before."""
    return _answer(await files.delete(parse_file_id(file_id), reason, who.proven(caller)))


@router.post("/{file_id}/restore", status_code=202)
async def restore_file(
    file_id: str, caller: ReaderDep, restores: RestoresDep, who: WhoDep
) -> Restore:
    """Ask for the content of an archived file; again is the same as once. Whoever may read it may
    ask."""
    return await restores.ask(parse_file_id(file_id), who.proven(caller))


@router.get("/{file_id}/restore", dependencies=[Depends(_permitted(Scope.FILES_READ, Right.READ))])
async def read_restore(file_id: str, restores: RestoresDep) -> Restore:
    """How the last restore stands."""
    return await restores.status(parse_file_id(file_id))


def _revision(tag: str) -> int:
    match = _REVISION_TAG.fullmatch(tag.strip())
    if match is None or int(match[1]) == 0:
        raise InvalidRequest("If-Match holds the ETag of a record", field="If-Match")
    return int(match[1])


def _answer(record: FileRecord) -> Response:
    return Response(
        record.to_json(),
        media_type="application/json",
        headers={"ETag": f'"{record.revision}"'},
    )
