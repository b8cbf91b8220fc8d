"""The shortest way to the plain routes that a module serves most.

A hot route passes every layer of ours (trace, metrics, log, certificate, problems) and none
of what FastAPI and Starlette put between those and an endpoint: looking through all routes,
and three layers of exception handling, cost more than storing a small file.
"""

from collections.abc import Awaitable, Callable, Sequence
from typing import cast

from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from artstore.core.errors import ArtStoreError

Endpoint = Callable[[Request], Awaitable[Response]]


ARRIVED_EXTENSION = "artstore.arrived"
"""Where the server puts a function that gives the whole body, if it is here already and nobody
has begun to read it."""


class HotRoutes:
    """Sends a request for one of `routes` through `hot`, any other through `others`.

    Args:
        routes: Plain routes, whose paths end in their only parameter or have none.
        hot: Few layers around `answer_hot`.
    """

    def __init__(self, routes: Sequence[Route], hot: ASGIApp, others: ASGIApp) -> None:
        self._hot = hot
        self._others = others
        self._exact: dict[tuple[str, str], Route] = {}
        self._by_folder: dict[tuple[str, str], tuple[Route, str]] = {}
        for route in routes:
            folder, _, last = route.path.rpartition("/")
            for method in route.methods or ():
                if last.startswith("{"):
                    self._by_folder[(method, folder)] = (route, last.strip("{}"))
                else:
                    self._exact[(method, route.path)] = route

    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        route = self._matching(scope) if scope["type"] == "http" else None
        if route is None:
            return self._others(scope, receive, send)
        scope["route"] = route
        return self._hot(scope, receive, send)

    def _matching(self, scope: Scope) -> Route | None:
        method, path = scope["method"], scope["path"]
        if exact := self._exact.get((method, path)):
            scope["path_params"] = {}
            return exact
        folder, _, last = path.rpartition("/")
        found = self._by_folder.get((method, folder))
        if found is None or not last:
            return None
        scope["path_params"] = {found[1]: last}
        return found[0]


async def answer_hot(scope: Scope, receive: Receive, send: Send) -> None:
    """The endpoint of the route that `HotRoutes` found."""
    request = Request(scope, receive)
    try:
        response = await cast(Endpoint, scope["route"].endpoint)(request)
    except (ArtStoreError, ClientDisconnect) as error:
        kind = ArtStoreError if isinstance(error, ArtStoreError) else ClientDisconnect
        response = await request.app.exception_handlers[kind](request, error)
    await response(scope, receive, send)


class PlainAnswer(Response):
    """Bytes that are ready, and the few headers they need."""

    def __init__(
        self,
        body: bytes,
        status: int,
        *,
        media_type: bytes = b"application/json",
        headers: Sequence[tuple[bytes, bytes]] = (),
    ) -> None:
        # Not `super().__init__`: it spells, encodes and orders what is known here.
        self.body = body
        self.status_code = status
        self.background = None
        self.raw_headers = [
            (b"content-type", media_type),
            (b"content-length", b"%d" % len(body)),
            *headers,
        ]


async def read_whole(request: Request) -> bytes:
    """The body of a request whose length was found to be small.

    Raises:
        ClientDisconnect: The sender left before its end.
    """
    pieces: list[bytes] = []
    more = True
    while more:
        message = await request.receive()
        if message["type"] == "http.disconnect":
            raise ClientDisconnect
        pieces.append(message.get("body", b""))
        more = message.get("more_body", False)
    return b"".join(pieces)
