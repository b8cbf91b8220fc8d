"""What ingesters go by when they take files in, and how much lies where there is a quota."""

from sqlalchemy.ext.asyncio import AsyncSession

from artstore.admin.repository import admission as repository
from artstore.admin.services.audit.trail import BoundTrail, Deed
from artstore.core.errors import UnknownAccount
from artstore.core.model.admission import AdmissionRules, Quota
from artstore.core.model.audit import AuditKind, Target


class AdmissionPolicy:
    def __init__(self, session: AsyncSession, audit: BoundTrail) -> None:
        """`audit` writes in the transaction of `session`."""
        self._session = session
        self._audit = audit

    async def rules(self) -> AdmissionRules:
        return AdmissionRules(
            collections=tuple(await repository.collection_rules(self._session)),
            accounts=tuple(await repository.account_rules(self._session)),
        )

    async def put_quota(self, subject: str, quota: Quota) -> None:
        """In force with every ingester within seconds. What lies there stays."""
        await repository.put_quota(self._session, subject, quota)
        await self._changed(subject, quota)

    async def remove_quota(self, subject: str) -> None:
        """Raises `UnknownAccount`: it has no quota."""
        if not await repository.remove_quota(self._session, subject):
            raise UnknownAccount("there is no quota for this account or person")
        await self._changed(subject, Quota())

    async def _changed(self, subject: str, quota: Quota) -> None:
        target = Target(type="account", id=subject)
        await self._audit.record(
            Deed(AuditKind.POLICY_CHANGED, target=target, details=quota.model_dump())
        )
