"""Who asks: the service at the other end, and the person or account behind the token."""

from collections.abc import Awaitable, Callable
from typing import Final

from starlette.requests import HTTPConnection, Request
from starlette.types import Scope as AsgiScope

from artstore.core.errors import InvalidToken, NotPermitted
from artstore.core.model.account import Caller, Scope
from artstore.core.tls import PeerIdentity
from artstore.core.tokens import TokenVerifier
from artstore.core.web.addresses import client_address, network_of
from artstore.core.web.fields import field_of
from artstore.core.web.middleware import PEER_EXTENSION

STRANGERS_PER_MINUTE: Final = 600
"""Of one address: many may share it, and a program that missed a renewal tries again."""
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


def require_peer(*modules: str) -> Callable[[HTTPConnection], Awaitable[None]]:
    """A FastAPI dependency that runs `check_peer`."""

    # `async`, though it waits for nothing: FastAPI gives a plain function a thread.
    async def dependency(request: HTTPConnection) -> None:
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
    if known is not None:
        return known
    try:
        return await authenticate_token(request, bearer_token(request))
    except InvalidToken:
        limit_strangers(request)
        raise


def bearer_token(request: Request) -> str:
    """
    Raises:
        InvalidToken: There is none.
    """
    scheme, _, token = (field_of(request.scope, b"authorization") or "").partition(" ")
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


def limit_strangers(request: HTTPConnection) -> None:
    """For whoever shows nothing valid. Counted by each process for itself, so it holds whatever
    else is away; guessing of passwords is slowed down on its own (`identity.throttle`).

    Raises:
        TooManyRequests: This address did so too often in the last minute.
    """
    peer = peer_of(request.scope)
    if peer is not None and peer.module != "edge":
        return  # One of our own services is no stranger.
    verifier: TokenVerifier = request.app.state.tokens
    place = network_of(client_address(request, peer))
    verifier.limits.take(f"address {place}", STRANGERS_PER_MINUTE, whose="an unknown caller")


def _check_certificate(request: Request, caller: Caller) -> None:
    """A bound token (RFC 8705) is worth nothing without the key of its certificate."""
    if caller.certificate is not None:
        peer = peer_of(request.scope)
        if peer is None or peer.thumbprint != caller.certificate:
            raise InvalidToken


def check_scope(caller: Caller, scope: Scope) -> None:
    if scope not in caller.scopes:
        raise NotPermitted(f"this needs the scope {scope}", required_scope=scope)


def require_scope_everywhere(scope: Scope) -> Callable[[Request], Awaitable[Caller]]:
    """As `require_scope`, for what concerns all collections: whose grants restrict them to some
    would otherwise reach the others by way of accounts, elements or the audit log."""

    async def dependency(request: Request) -> Caller:
        caller = await authenticate(request)
        check_scope(caller, scope)
        if caller.grants is not None:
            raise NotPermitted("this concerns all collections; your rights are in some of them")
        return caller

    return dependency


def require_scope(scope: Scope) -> Callable[[Request], Awaitable[Caller]]:
    """A FastAPI dependency: the caller, if its token has `scope`."""

    async def dependency(request: Request) -> Caller:
        caller = await authenticate(request)
        check_scope(caller, scope)
        return caller

    return dependency
