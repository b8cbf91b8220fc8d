"""Moves signing keys on when their time has come."""

import asyncio
from typing import Final

from artstore.admin.jobs.regular import Regular
from artstore.admin.services.identity.key_rotation import KeyRotation
from artstore.core.errors import Unavailable
from artstore.core.logging import get_logger

CHECK_EVERY_S: Final = 60.0
OVERDUE_AFTER_S: Final = 900.0


async def rotate_keys(rotation: KeyRotation) -> None:
    """Until cancelled."""
    regular = Regular("signing_keys", OVERDUE_AFTER_S)
    while True:
        await asyncio.sleep(CHECK_EVERY_S)
        try:
            await rotation.advance()
            regular.went_well()
        except Unavailable:
            get_logger().warning("signing keys not looked after: the database is away")
        except Exception as error:  # noqa: BLE001  the edge of the job: log it, go on
            get_logger().error("signing keys not looked after", exc_info=error)
