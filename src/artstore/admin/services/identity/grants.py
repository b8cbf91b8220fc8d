"""Who may do what in which collection.

Without grants the scopes of a role hold in all collections. The first grant restricts its holder
to what is granted; when the last one goes or ends, the holder may do nothing, not everything.
Only an administrator lifts the restriction, by name.
"""

from typing import Final

from sqlalchemy.ext.asyncio import AsyncSession

from artstore.admin.model import SubjectGrant
from artstore.admin.repository import grants as repository
from artstore.admin.repository.grants import Holder
from artstore.admin.services.audit.trail import BoundTrail, Deed
from artstore.admin.services.identity.revocation import Revocations
from artstore.core.clock import Clock
from artstore.core.errors import InvalidRequest, NotPermitted, UnknownAccount, UnknownGrant
from artstore.core.model.account import Caller, Grant, Right
from artstore.core.model.audit import AuditKind, Target

GRANTS_MAX: Final = 50
"""Of one holder: they stand in each token, which has to fit into a header."""


class Grants:
    def __init__(
        self, session: AsyncSession, revocations: Revocations, clock: Clock, audit: BoundTrail
    ) -> None:
        """`audit` writes in the transaction of `session`."""
        self._session = session
        self._revocations = revocations
        self._clock = clock
        self._audit = audit

    async def of_subject(self, subject: str) -> list[SubjectGrant]:
        return await repository.of_subject(self._session, subject)

    async def in_collection(self, collection: str) -> list[SubjectGrant]:
        return await repository.in_collection(self._session, collection)

    async def put(self, subject: str, grant: Grant, caller: Caller) -> SubjectGrant:
        """In force with the holder's next token; those it has now end.

        Raises:
            UnknownAccount: There is no such holder.
            NotPermitted: A restricted administrator does not manage that collection, would restrict
                somebody who is not restricted, or means themselves; or the holder may do more than
                the caller.
        """
        now = self._clock.now()
        caller.check(Right.MANAGE, grant.collection, now)
        made = SubjectGrant(
            **grant.model_dump(), subject=subject, granted_at=now, granted_by=caller.subject
        )
        holder = await repository.holder(self._session, subject)
        if holder is None:
            raise UnknownAccount
        _check_within(holder, caller)
        if caller.grants is not None and subject == caller.subject:
            # Or a right that ends on a date would never end.
            raise NotPermitted("what you may do yourself is for somebody else to say")
        if caller.grants is not None and not holder.restricted:
            raise NotPermitted("a first grant would take all other collections from its holder")
        await repository.restrict(self._session, subject)
        await repository.put(self._session, made)
        if await repository.count(self._session, subject) > GRANTS_MAX:
            raise InvalidRequest(f"an account or person may have {GRANTS_MAX} grants")
        await self._changed(made, caller, "granted")
        return made

    async def remove(self, subject: str, collection: str, caller: Caller) -> None:
        """
        Raises:
            UnknownGrant: There is none.
            NotPermitted: A restricted administrator does not manage that collection, or the holder
                may do more than the caller.
        """
        now = self._clock.now()
        caller.check(Right.MANAGE, collection, now)
        holder = await repository.holder(self._session, subject)
        if holder is not None:
            _check_within(holder, caller)
        if not await repository.remove(self._session, subject, collection):
            raise UnknownGrant
        gone = SubjectGrant(
            collection=collection,
            rights=frozenset(Right),
            subject=subject,
            granted_at=now,
            granted_by=caller.subject,
        )
        await self._changed(gone, caller, "withdrawn")

    async def _changed(self, grant: SubjectGrant, caller: Caller, what: str) -> None:
        await self._revocations.revoke_subject(
            self._session, grant.subject, caller.subject, "grants changed"
        )
        details = {
            "change": what,
            "collection": grant.collection,
            "rights": sorted(grant.rights),
            "ends_at": grant.ends_at.isoformat() if grant.ends_at else None,
        }
        target = Target(type="account", id=grant.subject)
        await self._audit.record(Deed(AuditKind.GRANT_CHANGED, target=target, details=details))


def _check_within(holder: Holder, caller: Caller) -> None:
    """Or an administrator could take a super administrator's rights by granting them little.

    Raises:
        NotPermitted: The role of the holder may do what the caller may not.
    """
    if holder.scopes - caller.scopes:
        raise NotPermitted("the role of this person or account may do more than you")
