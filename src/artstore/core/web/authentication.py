"""Who asks: the service at the other end, and the person or account behind the token."""

from collections.abc import Awaitable, Callable
from typing import Final

from starlette.requests import HTTPConnection, Request
from starlette.types import Scope as AsgiScope

from artstore.core.errors import InvalidToken, NotPermitted
from artstore.core.model.account import Caller, Scope
from artstore.core.tls import PeerIdentity
from artstore.core.tokens import TokenVerifier
from artstore.core.web.middleware import PEER_EXTENSION

CALLER: Final = "artstore.caller"
"""Where a valid token leaves whom it speaks for, in the scope of the request."""


def peer_of(scope: AsgiScope) -> PeerIdentity | None:
    """The service that showed a valid certificate; `None` where TLS is off (development)."""
    peer: PeerIdentity | None = scope.get("extensions", {}).get(PEER_EXTENSION)
    return peer


def check_peer(request: HTTPConnection, *modules: str) -> None:
    """Refuse services that have no business here.

    Raises:
        NotPermitted: The peer is none of `modules`.
    """
    peer = peer_of(request.scope)
    if peer is None and request.app.state.settings.tls is None:
        return
    if peer is None or peer.module not in modules:
        raise NotPermitted("this service does not answer to your certificate")


def require_peer(*modules: str) -> Callable[[HTTPConnection], None]:
    """A FastAPI dependency that runs `check_peer`."""

    def dependency(request: HTTPConnection) -> None:
        check_peer(request, *modules)

    return dependency


async def authenticate(request: Request) -> Caller:
    """Whoever the bearer token speaks for. Asked several times, a request is checked once.

    Raises:
        InvalidToken: There is none, or it is not valid here and now.
        TooManyRequests: The account has used up what it may do in a minute.
        Unavailable: The signing keys are not known, or not what was revoked.
    """
    known: Caller | None = request.scope.get(CALLER)
    return known if known is not None else await authenticate_token(request, bearer_token(request))


def bearer_token(request: Request) -> str:
    """
    Raises:
        InvalidToken: There is none.
    """
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not token:
        raise InvalidToken
    return token.strip()


async def authenticate_token(request: Request, token: str) -> Caller:
    """As `authenticate`, with a token that came another way than in its header."""
    verifier: TokenVerifier = request.app.state.tokens
    caller = await verifier.verify(token)
    _check_certificate(request, caller)
    request.scope[CALLER] = caller
    verifier.limits.take(caller.subject, caller.requests_per_minute)
    return caller


def _check_certificate(request: Request, caller: Caller) -> None:
    """A bound token (RFC 8705) is worth nothing without the key of its certificate."""
    if caller.certificate is not None:
        peer = peer_of(request.scope)
        if peer is None or peer.thumbprint != caller.certificate:
            raise InvalidToken


def check_scope(caller: Caller, scope: Scope) -> None:
    if scope not in caller.scopes:
        raise NotPermitted(f"this needs the scope {scope}", required_scope=scope)


def require_scope(scope: Scope) -> Callable[[Request], Awaitable[Caller]]:
    """A FastAPI dependency: the caller, if its token has `scope`."""

    async def dependency(request: Request) -> Caller:
        caller = await authenticate(request)
        check_scope(caller, scope)
        return caller

    return dependency
