"""Getting a file back, as a flow."""

from typing import Final

from artstore.client.calls import Backoff, Calls
from artstore.client.messages import Flow, Request, Work
from artstore.client.results import Download
from artstore.client.sinks import Destination
from artstore.core.errors import TooManyRequests, Unavailable
from artstore.core.model.ids import parse_file_id

FILES: Final = "/api/v1/files"


def download(calls: Calls, file_id: str, destination: Destination) -> Flow[Download]:
    """Bring the content to `destination`, going on after each cut where it stopped.

    Raises:
        Unavailable: Several attempts in a row brought nothing; what came before is kept.
        DigestMismatch: What arrived is not what was stored; it was discarded.
        OSError: The destination cannot be written.
    """
    target = f"{FILES}/{parse_file_id(file_id)}/content"
    try:
        yield Work(destination.open)
        if destination.offset:
            # A part of an earlier process: its length may be all of it, or even too much.
            destination.learn((yield from calls.call(Request("HEAD", target))))
        yield from _fetch_rest(calls, target, destination)
        path = yield Work(destination.finish)
    finally:
        destination.close()
    assert destination.size is not None
    assert destination.sha256 is not None
    return Download(file_id, destination.size, destination.sha256, path)


def _fetch_rest(calls: Calls, target: str, destination: Destination) -> Flow[None]:
    backoff = Backoff()
    while destination.offset != destination.size:
        offset_before = destination.offset
        try:
            yield from calls.attempt(_request(target, destination), destination)
        except (Unavailable, TooManyRequests) as failure:
            if destination.offset > offset_before:
                backoff.progressed()
            pause = backoff.after(failure)
        else:
            return
        yield pause


def _request(target: str, destination: Destination) -> Request:
    size, sha256 = destination.size, destination.sha256
    if size is None or sha256 is None or not 0 < destination.offset < size:
        return Request("GET", target)
    return Request(
        "GET",
        target,
        {
            "range": f"bytes={destination.offset}-",
            # Should the content be another one, the whole of it comes instead of a wrong part.
            "if-range": f'"{sha256}"',
        },
    )
