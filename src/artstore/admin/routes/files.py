"""Changing and deleting files. Reading them is the query module's work."""

import re
from collections.abc import Awaitable, Callable
from typing import Annotated, Final

from fastapi import APIRouter, Depends, Header, Query, Response

from artstore.admin.dependencies import FilesDep, ResourcesDep, WhoDep
from artstore.core.errors import ForeignFile, InvalidRequest
from artstore.core.model.account import Caller, Right, Scope
from artstore.core.model.file import FileChange, FileRecord
from artstore.core.model.ids import parse_file_id
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
