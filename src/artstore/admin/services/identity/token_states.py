"""What accounts may ask about tokens, and how they give them back (RFC 7662, RFC 7009)."""

from typing import Any

from artstore.admin.model import ServiceAccount
from artstore.admin.services.audit.trail import Deed, Trail, Who
from artstore.admin.services.identity.revocation import Revocations
from artstore.core.database import Database
from artstore.core.errors import InvalidToken, InvalidTokenRequest
from artstore.core.model.account import ACCOUNT_SCOPES, Caller, Scope
from artstore.core.model.audit import AuditKind, Target
from artstore.core.tokens import AUDIENCE, TokenVerifier


class TokenStates:
    def __init__(
        self,
        database: Database,
        verifier: TokenVerifier,
        revocations: Revocations,
        trail: Trail,
        issuer: str,
    ) -> None:
        self._database = database
        self._verifier = verifier
        self._revocations = revocations
        self._trail = trail
        self._issuer = issuer

    async def introspect(self, account: ServiceAccount, token: str) -> dict[str, Any]:
        """What the token is good for, if it is. Others' tokens are shown to those who may read
        what the admin module keeps; to anybody else they look like none."""
        try:
            caller = await self._verifier.verify(token)
        except InvalidToken:
            return {"active": False}
        if caller.subject != account.subject and not _may_look(account):
            return {"active": False}
        return {"active": True, **_told(caller), "iss": self._issuer, "aud": AUDIENCE}

    async def revoke(self, account: ServiceAccount, token: str, who: Who) -> None:
        """In force everywhere within a second. A token that is good no more is no failure.

        Raises:
            InvalidTokenRequest: Somebody else's token.
        """
        try:
            caller = await self._verifier.verify(token)
        except InvalidToken:
            return
        if caller.subject != account.subject:
            raise InvalidTokenRequest(
                "this token was issued to somebody else", error="unauthorized_client"
            )
        async with self._database.session() as session:
            await self._revocations.revoke_token(
                session, caller.token_id, caller.expires_at, account.subject, "given back"
            )
            target = Target(type="token", id=caller.token_id)
            await self._trail.record(
                session, who.proven(caller), Deed(AuditKind.TOKEN_REVOKED, target=target)
            )
        await self._revocations.committed(session)


def _may_look(account: ServiceAccount) -> bool:
    return Scope.ADMIN_READ in ACCOUNT_SCOPES[account.role]


def _told(caller: Caller) -> dict[str, Any]:
    told: dict[str, Any] = {
        "scope": " ".join(sorted(caller.scopes)),
        "client_id": caller.name,
        "username": caller.name,
        "token_type": "Bearer",
        "sub": caller.subject,
        "jti": caller.token_id,
        "iat": int(caller.issued_at.timestamp()),
        "exp": int(caller.expires_at.timestamp()),
    }
    if caller.certificate is not None:
        told["cnf"] = {"x5t#S256": caller.certificate}
    return told
