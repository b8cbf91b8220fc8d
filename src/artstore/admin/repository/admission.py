"""Quotas, and what lies there. Collections themselves: see `collections`."""

from typing import Any, Final

from sqlalchemy import and_, delete, func, literal, select, text
from sqlalchemy.dialects import postgresql
from sqlalchemy.ext.asyncio import AsyncSession

from artstore.admin.work_tables import account_quotas, collections, usage
from artstore.core.model.admission import AccountQuota, CollectionRules, Quota, Usage

# Of the index alone: neither records nor search vectors are read.
_COUNT: Final = """
INSERT INTO policy.usage (kind, name, used_bytes, used_files, counted_at)
SELECT '{kind}', wanted.name, coalesce(sum(f.size_bytes), 0), count(f.size_bytes), now()
FROM ({wanted}) wanted LEFT JOIN catalogue.files f
    ON f.{column} = wanted.name AND f.state = 'present'
GROUP BY wanted.name
ON CONFLICT (kind, name) DO UPDATE SET used_bytes = excluded.used_bytes,
    used_files = excluded.used_files, counted_at = excluded.counted_at
"""
_LIMITED_COLLECTIONS: Final = """
SELECT collection AS name FROM policy.collections
WHERE admission ->> 'quota_bytes' IS NOT NULL OR admission ->> 'quota_files' IS NOT NULL
"""
_COUNTS: Final = (
    _COUNT.format(kind="collection", column="collection", wanted=_LIMITED_COLLECTIONS),
    _COUNT.format(
        kind="account",
        column="uploaded_by",
        wanted="SELECT subject AS name FROM policy.account_quotas",
    ),
)


async def count_usage(session: AsyncSession) -> None:
    """Of every collection and account that has a quota."""
    for statement in _COUNTS:
        await session.execute(text(statement))


async def collection_rules(session: AsyncSession) -> list[CollectionRules]:
    """Of collections whose rules are not the defaults."""
    statement = (
        select(collections.c.collection, collections.c.admission, usage)
        .join_from(
            collections, usage, _usage_of("collection", collections.c.collection), isouter=True
        )
        .where(collections.c.admission != literal({}, postgresql.JSONB))
        .order_by(collections.c.collection)
    )
    return [
        CollectionRules(collection=row.collection, admission=row.admission, usage=_usage(row))
        for row in await session.execute(statement)
    ]


async def account_rules(session: AsyncSession) -> list[AccountQuota]:
    statement = (
        select(account_quotas, usage)
        .join_from(
            account_quotas, usage, _usage_of("account", account_quotas.c.subject), isouter=True
        )
        .order_by(account_quotas.c.subject)
    )
    return [
        AccountQuota(
            subject=row.subject,
            quota_bytes=row.quota_bytes,
            quota_files=row.quota_files,
            usage=_usage(row),
        )
        for row in await session.execute(statement)
    ]


async def put_quota(session: AsyncSession, subject: str, quota: Quota) -> None:
    values = quota.model_dump()
    statement = postgresql.insert(account_quotas).values(subject=subject, **values)
    await session.execute(statement.on_conflict_do_update(index_elements=["subject"], set_=values))


async def remove_quota(session: AsyncSession, subject: str) -> bool:
    """Whether there was one."""
    statement = (
        delete(account_quotas)
        .where(account_quotas.c.subject == subject)
        .returning(account_quotas.c.subject)
    )
    return (await session.execute(statement)).one_or_none() is not None


async def usage_age_s(session: AsyncSession) -> float | None:
    """Since the last count; `None`: nothing was counted ever."""
    age = await session.scalar(
        select(func.extract("epoch", func.now() - func.max(usage.c.counted_at)))
    )
    return None if age is None else float(age)


def _usage_of(kind: str, name: Any) -> Any:
    return and_(usage.c.kind == kind, usage.c.name == name)


def _usage(row: Any) -> Usage | None:
    return Usage.model_validate(row) if row.counted_at is not None else None
