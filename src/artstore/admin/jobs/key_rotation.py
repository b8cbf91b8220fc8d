"""Moves signing keys on when their time has come."""

import asyncio
from typing import Final

from artstore.admin.services.identity.key_rotation import KeyRotation
from artstore.core.errors import Unavailable
from artstore.core.logging import get_logger

CHECK_EVERY_S: Final = 60.0


async def rotate_keys(rotation: KeyRotation) -> None:
    """Until cancelled."""
    while True:
        await asyncio.sleep(CHECK_EVERY_S)
        try:
            await rotation.advance()
        except Unavailable:
            get_logger().warning("signing keys not looked after: the database is away")
        except Exception as error:  # noqa: BLE001  the edge of the job: log it, go on
            get_logger().error("signing keys not looked after", exc_info=error)
