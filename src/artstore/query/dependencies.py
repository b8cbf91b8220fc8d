"""What the routes work with, built once by `app.py`."""

from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends
from starlette.requests import Request

from artstore.core.recording.reports import Reports
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


def query_of(request: Request) -> Query:
    query: Query = request.app.state.query
    return query


def _files(request: Request) -> Files:
    return query_of(request).files


def _search(request: Request) -> Search:
    return query_of(request).search


FilesDep = Annotated[Files, Depends(_files)]
SearchDep = Annotated[Search, Depends(_search)]
