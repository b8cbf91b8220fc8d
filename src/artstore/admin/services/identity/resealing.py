"""What was sealed by a former key-encryption key is sealed by the present one.

May be repeated, cut short and done by several instances at once: each row goes from bytes that open
to bytes that open, unless somebody else has changed it meanwhile.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from artstore.admin.audit_tables import log_keys
from artstore.admin.repository import sealed
from artstore.admin.repository.sealed import SealedColumn, SealedRow
from artstore.admin.services.audit.log_keys import sealed_for as audit_log_key
from artstore.admin.services.identity.sealing import Seal
from artstore.admin.services.identity.second_factors import sealed_for as one_time_password
from artstore.admin.services.identity.sessions import sealed_for as session_key
from artstore.admin.services.identity.signing_keys import sealed_for as signing_key
from artstore.admin.tables import one_time_passwords, sessions, signing_keys
from artstore.core.database import Database
from artstore.core.settings import ConfigurationError

SEALED: Final[tuple[tuple[SealedColumn, Callable[[Any], str]], ...]] = (
    (SealedColumn(signing_keys.c.kid, signing_keys.c.private_key), signing_key),
    (SealedColumn(sessions.c.session_id, sessions.c.refresh_key), session_key),
    (SealedColumn(one_time_passwords.c.user_id, one_time_passwords.c.secret), one_time_password),
    (SealedColumn(log_keys.c.verifier_key, log_keys.c.signing_key), audit_log_key),
)


@dataclass(frozen=True)
class Counts:
    resealed: int = 0
    """None is, the second time."""
    unreadable: int = 0
    """Under a key that nobody has any more; they were of no use before."""


async def reseal(database: Database, seal: Seal) -> Counts:
    total = Counts()
    for column, context in SEALED:
        after: Any = None
        while page := await _page(database, column, after):
            found = await _reseal(database, seal, column, page, context)
            total = Counts(total.resealed + found.resealed, total.unreadable + found.unreadable)
            after = page[-1].identity
    return total


async def _page(database: Database, column: SealedColumn, after: Any) -> list[SealedRow]:
    async with database.session() as session:
        return await sealed.page(session, column, after)


async def _reseal(
    database: Database,
    seal: Seal,
    column: SealedColumn,
    page: list[SealedRow],
    context: Callable[[Any], str],
) -> Counts:
    """In a transaction of its own: whoever signs in meanwhile waits for few rows only."""
    changed, unreadable = [], 0
    for row in page:
        what = context(row.identity)
        if seal.is_by_first(row.sealed, what):
            continue
        try:
            changed.append((row, seal.seal(seal.open(row.sealed, what), what)))
        except ConfigurationError:
            unreadable += 1
    async with database.session() as session:
        for row, new in changed:
            await sealed.replace(session, column, row, new)
    return Counts(len(changed), unreadable)
