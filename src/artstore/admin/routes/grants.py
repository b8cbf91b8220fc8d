"""HTTP face of grants: who may do what in which collection."""

from typing import Annotated

from fastapi import APIRouter, Depends, Query, Response
from pydantic import BaseModel, Field

from artstore.admin.dependencies import FreshManagerDep, GrantsDep
from artstore.admin.model import Subject, SubjectGrant
from artstore.core.errors import InvalidRequest
from artstore.core.model.account import Grant, Right, Scope
from artstore.core.model.ids import CollectionName
from artstore.core.model.moments import Moment
from artstore.core.model.page import Page
from artstore.core.web.authentication import require_scope

router = APIRouter(prefix="/api/v1/grants", tags=["grants"])


class GrantBody(BaseModel):
    rights: frozenset[Right] = Field(min_length=1)
    ends_at: Moment | None = None


@router.get("", dependencies=[Depends(require_scope(Scope.ADMIN_READ))])
async def list_grants(
    grants: GrantsDep,
    subject: Annotated[Subject | None, Query()] = None,
    collection: Annotated[CollectionName | None, Query()] = None,
) -> Page[SubjectGrant]:
    """Of one person or account, or in one collection."""
    if (subject is None) == (collection is None):
        raise InvalidRequest("name a subject or a collection", field="subject")
    if subject is not None:
        return Page(items=await grants.of_subject(subject), next_cursor=None)
    return Page(items=await grants.in_collection(collection or ""), next_cursor=None)


@router.put("/{subject}/{collection}")
async def put_grant(
    subject: Subject,
    collection: CollectionName,
    body: GrantBody,
    caller: FreshManagerDep,
    grants: GrantsDep,
) -> SubjectGrant:
    """Replaces what was granted there. The first grant restricts its holder to what is granted."""
    grant = Grant(collection=collection, rights=body.rights, ends_at=body.ends_at)
    return await grants.put(subject, grant, caller)


@router.delete("/{subject}/{collection}", status_code=204)
async def remove_grant(
    subject: Subject, collection: CollectionName, caller: FreshManagerDep, grants: GrantsDep
) -> Response:
    await grants.remove(subject, collection, caller)
    return Response(status_code=204)
