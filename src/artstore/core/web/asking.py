"""Who asks, as far as it is known without a token."""

from starlette.requests import HTTPConnection

from artstore.core.model.account import Caller
from artstore.core.model.file import Origin
from artstore.core.recording.deeds import Who
from artstore.core.web.addresses import client_address
from artstore.core.web.authentication import peer_of


def who_asks(request: HTTPConnection) -> Who:
    peer = peer_of(request.scope)
    services = (f"{peer.module}/{peer.instance}",) if peer else ()
    return Who(address=client_address(request, peer), services=services)


def origin_of(request: HTTPConnection, caller: Caller, service: str) -> Origin:
    """How an upload comes, for the log of its element. `service`: who takes it in."""
    peer = peer_of(request.scope)
    services = (f"{peer.module}/{peer.instance}", service) if peer else (service,)
    return Origin.known(caller.token_id, client_address(request, peer), services)
