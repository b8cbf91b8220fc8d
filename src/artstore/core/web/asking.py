"""Who asks, as far as it is known without a token."""

from starlette.requests import HTTPConnection

from artstore.core.recording.deeds import Who
from artstore.core.web.authentication import peer_of


def client_address(request: HTTPConnection) -> str:
    """Where the request began. Only the edge is believed when it names somebody else.

    The edge overwrites the header, so its last entry is the address it saw itself.
    """
    peer = peer_of(request.scope)
    if peer is not None and peer.module == "edge":
        forwarded = request.headers.get("x-forwarded-for", "")
        if forwarded:
            return forwarded.rsplit(",", 1)[-1].strip()
    return request.client.host if request.client else "unknown"


def who_asks(request: HTTPConnection) -> Who:
    peer = peer_of(request.scope)
    services = (f"{peer.module}/{peer.instance}",) if peer else ()
    return Who(address=client_address(request), services=services)
