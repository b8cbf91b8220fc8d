"""HTTP face of search and of the list of files. Translation only."""

from typing import Annotated

import orjson
from fastapi import APIRouter, Query, Response

from artstore.core.model.file import FileRecord
from artstore.core.model.page import Page
from artstore.query.dependencies import SearchDep, VisibleDep
from artstore.query.model.criteria import Criteria, CriteriaBody, Listing
from artstore.query.services.search import FoundPage

router = APIRouter(prefix="/api/v1", tags=["search"])

JSON = "application/json"


@router.get("/search", response_model=Page[FileRecord])
async def search_files(
    criteria: Annotated[Criteria, Query()], search: SearchDep, visible: VisibleDep
) -> Response:
    """Files that meet all conditions, the newest first."""
    return _page(await search.search(criteria, visible))


@router.post("/search", response_model=Page[FileRecord])
async def search_files_by_body(
    criteria: CriteriaBody, search: SearchDep, visible: VisibleDep
) -> Response:
    """The same, for conditions that a query string cannot carry."""
    return _page(await search.search(criteria, visible))


@router.get("/files", response_model=Page[FileRecord])
async def list_files(
    listing: Annotated[Listing, Query()], search: SearchDep, visible: VisibleDep
) -> Response:
    """Files, the newest first."""
    return _page(await search.newest(listing, visible))


def _page(page: FoundPage) -> Response:
    items = b",".join(record.rstrip() for record in page.records)
    body = b'{"items":[%b],"next_cursor":%b}' % (items, orjson.dumps(page.next_cursor))
    return Response(body, media_type=JSON, headers={"Cache-Control": "private, no-store"})
