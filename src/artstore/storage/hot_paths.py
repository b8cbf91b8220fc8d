"""The shortest way for what an element does most: taking a small file.

It does what `routes.content.put_file` does, without the layers of FastAPI and the objects of
Starlette, which cost more than storing the file. Whatever is not exactly that goes the usual
way, refusals too.
"""

from typing import Final

from starlette.requests import ClientDisconnect, HTTPConnection, Request
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from artstore.core.errors import ArtStoreError
from artstore.core.model.ids import parse_file_id
from artstore.core.web.authentication import check_peer
from artstore.storage.engine.writer import Stored
from artstore.storage.routes.content import FILE_PATH, FRAME_TYPE, WRITERS
from artstore.storage.services.intake import Intake

_PREFIX: Final = FILE_PATH.removesuffix("{file_id}")
_FRAME_TYPE: Final = FRAME_TYPE.encode()
_LENGTH_DIGITS_MAX: Final = 9


class HotPaths:
    """The innermost middleware: identity, metrics, logs and traces come before it."""

    def __init__(self, app: ASGIApp, route: Route) -> None:
        self._app = app
        self._route = route

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if not _is_small_upload(scope):
            await self._app(scope, receive, send)
            return
        scope["route"] = self._route
        try:
            stored = await _put(scope, receive)
        except (ArtStoreError, ClientDisconnect) as error:
            await _answer_failure(error, scope, receive, send)
        else:
            await _answer(stored, send)


def _is_small_upload(scope: Scope) -> bool:
    if scope["type"] != "http" or scope["method"] != "PUT":
        return False
    path: str = scope["path"]
    if not path.startswith(_PREFIX) or "/" in path[len(_PREFIX) :]:
        return False
    headers: dict[bytes, bytes] = dict(scope["headers"])
    length = headers.get(b"content-length", b"")
    intake: Intake = scope["app"].state.intake
    return (
        headers.get(b"content-type") == _FRAME_TYPE
        and 0 < len(length) <= _LENGTH_DIGITS_MAX
        and int(length) <= intake.whole_body_bytes_max
    )


async def _put(scope: Scope, receive: Receive) -> Stored:
    check_peer(HTTPConnection(scope), *WRITERS)
    file_id = parse_file_id(scope["path"][len(_PREFIX) :])
    pieces: list[bytes] = []
    more = True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ClientDisconnect
        pieces.append(message.get("body", b""))
        more = message.get("more_body", False)
    intake: Intake = scope["app"].state.intake
    return await intake.receive_whole(file_id, b"".join(pieces))


async def _answer(stored: Stored, send: Send) -> None:
    body = stored.record_json
    start: Message = {
        "type": "http.response.start",
        "status": 201 if stored.created else 200,
        "headers": [
            (b"content-type", b"application/json"),
            (b"content-length", b"%d" % len(body)),
        ],
    }
    await send(start)
    await send({"type": "http.response.body", "body": body})


async def _answer_failure(
    error: ArtStoreError | ClientDisconnect, scope: Scope, receive: Receive, send: Send
) -> None:
    request = Request(scope, receive, send)
    kind = ArtStoreError if isinstance(error, ArtStoreError) else ClientDisconnect
    response = await request.app.exception_handlers[kind](request, error)
    await response(scope, receive, send)
