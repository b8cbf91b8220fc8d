"""Shows how old the oldest secret of a service account is: people rotate those."""

import asyncio
from typing import Final

from artstore.admin.repository import service_accounts
from artstore.core.database import Database
from artstore.core.errors import Unavailable
from artstore.core.logging import get_logger
from artstore.core.metrics import SECRET_CHANGED

LOOK_EVERY_S: Final = 600.0
OLDEST: Final = "service_account_oldest"


async def show_credential_ages(database: Database) -> None:
    """Until cancelled."""
    while True:
        try:
            async with database.session() as session:
                oldest = await service_accounts.oldest_secret(session)
            if oldest is not None:
                SECRET_CHANGED.labels(OLDEST).set(oldest.timestamp())
        except Unavailable:
            get_logger().warning("age of secrets not looked at: the database is away")
        except Exception as error:  # noqa: BLE001  the edge of the job: log it, go on
            get_logger().error("age of secrets not looked at", exc_info=error)
        await asyncio.sleep(LOOK_EVERY_S)
