"""The people whom the outside provider vouches for, as this installation knows them.

Recognised by issuer and subject, never by name or address: those can be given to somebody else.
"""

import hashlib
import re
from dataclasses import dataclass
from typing import Final
from uuid import uuid4

from sqlalchemy.ext.asyncio import AsyncSession

from artstore.admin.model import User
from artstore.admin.repository import users
from artstore.admin.services.audit.trail import Deed, Trail, Who
from artstore.admin.services.identity.outside.id_token import NotAccepted, OutsideIdentity
from artstore.admin.services.identity.outside.terms import Terms
from artstore.admin.services.identity.people import check_stays_managed
from artstore.admin.services.identity.sessions import Sessions
from artstore.core.clock import Clock
from artstore.core.errors import NotPermitted
from artstore.core.model.account import UserRole
from artstore.core.model.audit import AuditKind, Target

NAME_CHARS_MAX: Final = 100
_NOT_IN_NAMES: Final = re.compile(r"[^a-z0-9._@-]+")


@dataclass(frozen=True)
class Guests:
    terms: Terms
    sessions: Sessions
    clock: Clock
    trail: Trail

    async def welcome(self, session: AsyncSession, identity: OutsideIdentity, who: Who) -> User:
        """That person, with the role that their groups give today.

        Raises:
            NotPermitted: None of their groups gives a role.
            NotAccepted: An administrator suspended them here.
            LastAdministrator: They are the last super administrator and would be none any more.
        """
        role = self.terms.role_of(identity.groups)
        if role is None:
            raise NotPermitted("none of your groups at the identity provider gives a role here")
        found = await users.find_from_outside(session, self.terms.issuer, identity.subject)
        if found is None:
            return await self._make(session, identity, role, who)
        if found.state != "active":
            raise NotAccepted("suspended")
        return found if found.role == role else await self._give(session, found, role, who)

    async def _make(
        self, session: AsyncSession, identity: OutsideIdentity, role: UserRole, who: Who
    ) -> User:
        now = self.clock.now()
        user = User(
            user_id=uuid4(),
            username=_free_name(identity, self.terms.issuer),
            role=role,
            state="active",
            password_change_required=False,
            created_at=now,
            password_changed_at=now,
            provider=self.terms.issuer,
        )
        if not await users.add(session, user, None, identity.subject):
            raise NotAccepted("somebody else came in as the same person just now")
        await self._record(session, AuditKind.ACCOUNT_CREATED, user, who)
        return user

    async def _give(self, session: AsyncSession, user: User, role: UserRole, who: Who) -> User:
        """What they were allowed before ends at once."""
        await check_stays_managed(session, user, role=role, state=user.state)
        await users.change(session, user.user_id, {"role": role})
        await self.sessions.end_all(session, user, user.subject, "role changed by the provider")
        changed = await users.find_by_id(session, user.user_id)
        assert changed is not None, "it was changed in this transaction"
        await self._record(session, AuditKind.ACCOUNT_CHANGED, changed.user, who)
        return changed.user

    async def _record(self, session: AsyncSession, kind: AuditKind, user: User, who: Who) -> None:
        target = Target(type="user", id=str(user.user_id))
        details = {"role": user.role, "provider": self.terms.issuer}
        await self.trail.record(session, who, Deed(kind, target=target, details=details))


def _free_name(identity: OutsideIdentity, issuer: str) -> str:
    """What people read: the name at the provider, made unlike any that somebody has here."""
    digest = hashlib.sha256(f"{issuer}\n{identity.subject}".encode()).hexdigest()
    wanted = _NOT_IN_NAMES.sub("-", (identity.name or "person").lower()).strip("._@-")
    return f"{wanted[:NAME_CHARS_MAX] or 'person'}-{digest[:12]}"
