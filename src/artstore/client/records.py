"""The other operations on files, as flows."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final, Generic

import orjson

from artstore.client.calls import Calls, parse, query_target
from artstore.client.messages import Flow, Request
from artstore.core.model.file import FileChange, FileRecord
from artstore.core.model.ids import parse_file_id
from artstore.core.model.page import Item, Page
from artstore.core.model.restored import Restore

FILES: Final = "/api/v1/files"
SEARCH: Final = "/api/v1/search"
PAGE_ITEMS_MAX: Final = 100

Parameters = list[tuple[str, str]]


def info(calls: Calls, file_id: str) -> Flow[FileRecord]:
    answer = yield from calls.call(Request("GET", _file_target(file_id)))
    return parse(FileRecord, answer)


def delete(calls: Calls, file_id: str) -> Flow[FileRecord]:
    answer = yield from calls.call(Request("DELETE", _file_target(file_id)))
    return parse(FileRecord, answer)


def update(calls: Calls, file_id: str, change: FileChange) -> Flow[FileRecord]:
    body = change.__pydantic_serializer__.to_json(change, exclude_none=True)
    headers = {"content-type": "application/json"}
    answer = yield from calls.call(Request("PATCH", _file_target(file_id), headers, body))
    return parse(FileRecord, answer)


def change_of(
    tags: Sequence[str] | None, metadata: Mapping[str, Any] | None, expected_revision: int | None
) -> FileChange:
    return FileChange(
        tags=tuple(tags) if tags is not None else None,
        metadata=dict(metadata) if metadata is not None else None,
        expected_revision=expected_revision,
    )


def list_parameters(collection: str | None) -> Parameters:
    return [("collection", collection)] if collection else []


def search_parameters(
    *,
    query: str | None,
    tags: Sequence[str],
    collection: str | None,
    metadata: Mapping[str, str],
    content_type: str | None,
    uploaded_after: datetime | None,
    uploaded_before: datetime | None,
    sha256: str | None,
) -> Parameters:
    single = {
        "q": query,
        "collection": collection,
        "content_type": content_type,
        "uploaded_after": uploaded_after.isoformat() if uploaded_after else None,
        "uploaded_before": uploaded_before.isoformat() if uploaded_before else None,
        "sha256": sha256,
    }
    parameters = [(name, value) for name, value in single.items() if value is not None]
    parameters.extend(("tag", tag) for tag in tags)
    parameters.extend(("meta", f"{key}:{value}") for key, value in metadata.items())
    return parameters


def restore(calls: Calls, method: str, file_id: str) -> Flow[Restore]:
    """`POST` asks for it, `GET` only looks."""
    request = Request(method, f"{_file_target(file_id)}/restore")
    return parse(Restore, (yield from calls.call(request)))


class Pages(Generic[Item]):
    """Walks through a list, a page at a time, until there is no more or `limit` is reached."""

    def __init__(
        self,
        calls: Calls,
        model: type[Page[Item]],
        path: str,
        parameters: Parameters,
        *,
        limit: int | None = None,
    ) -> None:
        self._calls = calls
        self._model = model
        self._path = path
        self._parameters = parameters
        self._left = limit
        self._cursor: str | None = None
        self.ended = limit is not None and limit <= 0

    def next(self) -> Flow[list[Item]]:
        wanted = PAGE_ITEMS_MAX if self._left is None else min(self._left, PAGE_ITEMS_MAX)
        parameters = [*self._parameters, ("limit", str(wanted))]
        if self._cursor is not None:
            parameters.append(("cursor", self._cursor))
        request = Request("GET", query_target(self._path, parameters))
        page = parse(self._model, (yield from self._calls.call(request)))
        items = page.items[:wanted]
        self._cursor = page.next_cursor
        if self._left is not None:
            self._left -= len(items)
        self.ended = self._cursor is None or self._left == 0
        return items


class RecordPages(Pages[FileRecord]):
    def __init__(
        self, calls: Calls, path: str, parameters: Parameters, limit: int | None = None
    ) -> None:
        super().__init__(calls, Page[FileRecord], path, parameters, limit=limit)


class ObjectPages(Pages[dict[str, Any]]):
    def __init__(self, calls: Calls, path: str, parameters: Parameters) -> None:
        super().__init__(calls, Page[dict[str, Any]], path, parameters)


def _file_target(file_id: str) -> str:
    return f"{FILES}/{parse_file_id(file_id)}"


def call_json(
    calls: Calls, method: str, path: str, parameters: Parameters, body: object | None
) -> Flow[Any]:
    """Any other route: JSON in, JSON out."""
    content = None if body is None else orjson.dumps(body)
    headers = {} if body is None else {"content-type": "application/json"}
    request = Request(method, query_target(path, parameters), headers, content)
    answer = yield from calls.call(request)
    return orjson.loads(answer.body) if answer.body else None
