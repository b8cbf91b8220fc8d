"""Sign-in with an outside identity provider: OpenID Connect, authorization code with PKCE.

Three steps, and this server takes all of them: `begin` sends the browser to the provider,
`returned` exchanges the code that comes back, `finish` begins the session. Between them the
browser carries a ticket (`tickets`): what comes back to another browser than began counts for
nothing, and neither does what comes twice.
"""

import base64
import hashlib
import hmac
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final
from urllib.parse import urlencode
from uuid import UUID

from artstore.admin.repository import users
from artstore.admin.services.audit.attempts import Attempted, Attempts
from artstore.admin.services.audit.trail import Who
from artstore.admin.services.identity.outside.guests import Guests
from artstore.admin.services.identity.outside.id_token import (
    NotAccepted,
    OutsideIdentity,
    read_id_token,
)
from artstore.admin.services.identity.outside.provider import Provider
from artstore.admin.services.identity.outside.tickets import Ticket, Tickets
from artstore.admin.services.identity.people_sign_in import PeopleSignIn, SignedIn, Tools
from artstore.admin.services.identity.sealing import Seal
from artstore.admin.services.identity.sessions import LIFETIME_FROM_OUTSIDE
from artstore.admin.services.identity.throttle import Attempt
from artstore.core.errors import InvalidCredentials
from artstore.core.metrics import LOGINS
from artstore.core.model.audit import AuditKind

REQUEST_LIFETIME: Final = timedelta(minutes=10)
"""How long somebody may take at the provider."""
ARRIVAL_LIFETIME: Final = timedelta(minutes=2)
RANDOM_BYTES: Final = 32
CODE_CHARS_MAX: Final = 4096


@dataclass(frozen=True)
class Begun:
    location: str
    """Where the browser goes."""
    ticket: str


class OutsideSignIn:
    def __init__(self, provider: Provider, tools: Tools, people: PeopleSignIn, seal: Seal) -> None:
        self._provider = provider
        self._terms = provider.terms
        self._tools = tools
        self._people = people
        self._guests = Guests(self._terms, tools.sessions, tools.clock, tools.trail)
        self._attempts = Attempts(tools.database, tools.trail)
        self._requests = Tickets(seal, "oidc request", REQUEST_LIFETIME, tools.clock)
        self._arrivals = Tickets(seal, "oidc arrival", ARRIVAL_LIFETIME, tools.clock)

    async def begin(self, *, fresh: bool) -> Begun:
        """`fresh`: the person proves anew who they are, whatever the provider remembers.

        Raises:
            Unavailable: The provider does not answer.
        """
        metadata = await self._provider.metadata()
        state, nonce, verifier = (secrets.token_urlsafe(RANDOM_BYTES) for _ in range(3))
        digest = hashlib.sha256(verifier.encode()).digest()
        parameters = {
            "response_type": "code",
            "client_id": self._terms.client_id,
            "redirect_uri": self._terms.redirect_uri,
            "scope": self._terms.scope,
            "state": state,
            "nonce": nonce,
            "code_challenge": base64.urlsafe_b64encode(digest).rstrip(b"=").decode(),
            "code_challenge_method": "S256",
            # Also makes the provider say when that was.
            "max_age": "0" if fresh else str(int(LIFETIME_FROM_OUTSIDE.total_seconds())),
        }
        if fresh:
            parameters["prompt"] = "login"
        now = self._tools.clock.now()
        not_before = now if fresh else now - LIFETIME_FROM_OUTSIDE
        content = {
            "state": state,
            "nonce": nonce,
            "verifier": verifier,
            "not_before": not_before.timestamp(),
        }
        sign = "&" if "?" in metadata.authorization_endpoint else "?"
        location = f"{metadata.authorization_endpoint}{sign}{urlencode(parameters)}"
        return Begun(location, self._requests.issue(content))

    async def returned(self, answer: Mapping[str, str], ticket: str | None, who: Who) -> str:
        """The provider sent the browser back. A ticket for `finish`.

        Args:
            answer: The parameters of the address, each of which came once.

        Raises:
            InvalidCredentials: Whatever is wrong with it.
            NotPermitted: No group of theirs gives a role here.
            TooManyRequests: After too many failures.
            Unavailable: The provider does not answer.
        """
        attempted = Attempted(details={"provider": self._terms.issuer})
        async with self._attempts.refusals(AuditKind.SIGN_IN, who, attempted):
            try:
                arrival = await self._arrival(answer, ticket, who, attempted)
            except InvalidCredentials as error:
                LOGINS.labels("refused").inc()
                if isinstance(error, NotAccepted):
                    attempted.details["reason"] = error.reason
                raise
        return self._arrivals.issue(arrival)

    async def finish(self, ticket: str | None, who: Who) -> SignedIn:
        """The session, or the token for the step that is still missing.

        Raises:
            InvalidCredentials: Not a ticket of `returned`, or used before.
        """
        attempted = Attempted(details={"provider": self._terms.issuer})
        async with self._attempts.watched(AuditKind.SIGN_IN, who, attempted):
            arrival = self._arrivals.read(ticket)
            async with self._tools.database.session() as session:
                await self._arrivals.use(session, arrival)
                found = await users.find_by_id(session, UUID(arrival.content["user_id"]))
            if found is None or found.user.state != "active":
                raise NotAccepted("suspended")
            attempted.subject = found.user.subject
            proven_at = datetime.fromtimestamp(arrival.content["authenticated_at"], UTC)
            trusted = bool(arrival.content["has_second_factor"])
            signed_in = await self._people.vouched_for(
                found.user, proven_at, has_second_factor=trusted
            )
        LOGINS.labels("succeeded").inc()
        return signed_in

    async def _arrival(
        self, answer: Mapping[str, str], ticket: str | None, who: Who, attempted: Attempted
    ) -> dict[str, Any]:
        attempt = Attempt(f"provider {self._terms.issuer}", who.place)
        await self._tools.proving.admit(attempt)
        request = self._requests.read(ticket)
        await self._check_answer(answer, request)
        async with self._tools.database.session() as session:
            await self._requests.use(session, request)
        identity = await self._identity(answer["code"], request)
        async with self._tools.database.session() as session:
            user = await self._guests.welcome(session, identity, who.named(identity.name or ""))
        await self._tools.revocations.committed(session)
        attempted.subject = user.subject
        await self._tools.proving.succeeded(attempt)
        return {
            "user_id": str(user.user_id),
            "authenticated_at": identity.authenticated_at.timestamp(),
            "has_second_factor": self._is_enough(identity),
        }

    async def _check_answer(self, answer: Mapping[str, str], request: Ticket) -> None:
        """
        Raises:
            NotAccepted: Not the answer to this browser's request, or not of our provider.
        """
        state = answer.get("state", "")
        if not hmac.compare_digest(state.encode(), request.content["state"].encode()):
            raise NotAccepted("an answer to another request")
        issuer = answer.get("iss")
        metadata = await self._provider.metadata()
        is_promised = metadata.authorization_response_iss_parameter_supported
        # RFC 9207: or another provider's answer would pass for ours.
        if (issuer is not None or is_promised) and issuer != self._terms.issuer:
            raise NotAccepted("an answer of another issuer")
        if "error" in answer:
            raise NotAccepted("the provider refused")
        if not 0 < len(answer.get("code", "")) <= CODE_CHARS_MAX:
            raise NotAccepted("no code")

    async def _identity(self, code: str, request: Ticket) -> OutsideIdentity:
        content = request.content
        token = await self._provider.id_token(code, content["verifier"])
        return await read_id_token(
            token,
            self._provider.keys,
            self._terms,
            self._tools.clock,
            nonce=content["nonce"],
            not_before=datetime.fromtimestamp(content["not_before"], UTC),
        )

    def _is_enough(self, identity: OutsideIdentity) -> bool:
        return not identity.methods.isdisjoint(self._terms.second_factor_values)
