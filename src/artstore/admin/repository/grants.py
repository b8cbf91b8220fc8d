"""Rows of `identity.grants`, and who is held to them."""

from dataclasses import dataclass
from uuid import UUID

from sqlalchemy import delete, func, select, update
from sqlalchemy.dialects import postgresql
from sqlalchemy.ext.asyncio import AsyncSession

from artstore.admin.model import SubjectGrant
from artstore.admin.tables import grants, service_accounts, users
from artstore.core.model.account import ACCOUNT_SCOPES, USER_SCOPES, Scope

_HOLDERS = {
    "user": (users, users.c.user_id),
    "account": (service_accounts, service_accounts.c.account_id),
}


@dataclass(frozen=True)
class Holder:
    scopes: frozenset[Scope]
    """Of their role."""
    restricted: bool


async def of_subject(session: AsyncSession, subject: str) -> list[SubjectGrant]:
    return await _read(session, subject=subject)


async def in_collection(session: AsyncSession, collection: str) -> list[SubjectGrant]:
    return await _read(session, collection=collection)


async def _read(session: AsyncSession, **where: str) -> list[SubjectGrant]:
    statement = select(grants).filter_by(**where).order_by(grants.c.subject, grants.c.collection)
    return [SubjectGrant.model_validate(row) for row in await session.execute(statement)]


async def count(session: AsyncSession, subject: str) -> int:
    statement = select(func.count()).select_from(grants).where(grants.c.subject == subject)
    return await session.scalar(statement) or 0


async def put(session: AsyncSession, grant: SubjectGrant) -> None:
    values = {**grant.model_dump(), "rights": sorted(grant.rights)}
    statement = postgresql.insert(grants).values(values)
    await session.execute(
        statement.on_conflict_do_update(
            index_elements=["subject", "collection"],
            set_={name: statement.excluded[name] for name in values},
        )
    )


async def remove(session: AsyncSession, subject: str, collection: str) -> bool:
    statement = (
        delete(grants)
        .where(grants.c.subject == subject, grants.c.collection == collection)
        .returning(grants.c.subject)
    )
    return (await session.execute(statement)).one_or_none() is not None


async def holder(session: AsyncSession, subject: str) -> Holder | None:
    """Locked until the transaction ends."""
    kind, _, identifier = subject.partition(":")
    if kind not in _HOLDERS:
        return None
    table, column = _HOLDERS[kind]
    statement = select(table.c.role, table.c.restricted).where(column == UUID(identifier))
    row = (await session.execute(statement.with_for_update())).one_or_none()
    if row is None:
        return None
    scopes = USER_SCOPES[row.role] if kind == "user" else ACCOUNT_SCOPES[row.role]
    return Holder(scopes, row.restricted)


async def restrict(session: AsyncSession, subject: str) -> None:
    """From now on the holder may do what its grants say and nothing else."""
    kind, _, identifier = subject.partition(":")
    table, column = _HOLDERS[kind]
    await session.execute(update(table).where(column == UUID(identifier)).values(restricted=True))
