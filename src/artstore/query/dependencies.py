"""What the routes work with, built once by `app.py`."""

from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends
from starlette.requests import Request

from artstore.core.clock import Clock
from artstore.core.model.account import Caller, Right, Scope
from artstore.core.recording.reports import Reports
from artstore.core.web.authentication import require_scope
from artstore.query.services.elements import Elements
from artstore.query.services.files import Files
from artstore.query.services.search import Search
from artstore.query.settings import QuerySettings


@dataclass(frozen=True, slots=True)
class Query:
    settings: QuerySettings
    files: Files
    search: Search
    elements: Elements
    reports: Reports
    clock: Clock


def query_of(request: Request) -> Query:
    query: Query = request.app.state.query
    return query


def _files(request: Request) -> Files:
    return query_of(request).files


def _search(request: Request) -> Search:
    return query_of(request).search


def visible_to(request: Request, caller: Caller) -> frozenset[str] | None:
    """The collections whose files exist for the caller; `None`: all."""
    return caller.collections(Right.READ, query_of(request).clock.now())


async def _visible(
    request: Request, caller: Annotated[Caller, Depends(require_scope(Scope.FILES_READ))]
) -> frozenset[str] | None:
    return visible_to(request, caller)


FilesDep = Annotated[Files, Depends(_files)]
SearchDep = Annotated[Search, Depends(_search)]
VisibleDep = Annotated[frozenset[str] | None, Depends(_visible)]
"""Only for callers with the scope `files:read`."""
