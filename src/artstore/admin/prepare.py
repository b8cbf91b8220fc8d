"""`prepare`: the database gets its schema and what a new installation begins with."""

import asyncio
from pathlib import Path

from artstore.admin.resources import DATABASE_PASSWORD, open_database
from artstore.admin.schema import migrate
from artstore.admin.services.audit.trail import Trail
from artstore.admin.services.bootstrap import Bootstrap, Plan, read_plan
from artstore.admin.services.identity.hashing import SecretHasher
from artstore.admin.settings import AdminSettings
from artstore.core.clock import SystemClock
from artstore.core.logging import configure_logging
from artstore.core.secrets.chain import Secrets


def prepare(settings: AdminSettings, secrets: Secrets, plan_file: Path | None) -> None:
    """May be repeated, also by several instances at once.

    Raises:
        ConfigurationError: The plan or a secret is unfit.
        Unavailable: The database is away.
    """
    configure_logging("admin", settings.instance, settings.log_level)
    plan = read_plan(plan_file) if plan_file else None
    migrate(settings.database_address, secrets.login_source(DATABASE_PASSWORD))
    if plan is not None:
        asyncio.run(_bootstrap(settings, secrets, plan))


async def _bootstrap(settings: AdminSettings, secrets: Secrets, plan: Plan) -> None:
    database = open_database(settings, secrets)
    hasher = SecretHasher()
    try:
        async with database.session() as session:
            clock = SystemClock()
            trail = Trail(clock, settings.instance)
            await Bootstrap(session, hasher, clock, trail).apply(plan)
    finally:
        hasher.close()
        await database.close()
