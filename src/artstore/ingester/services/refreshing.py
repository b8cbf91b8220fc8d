"""Views of what other services know, kept fresh in the background."""

import asyncio
from collections.abc import Awaitable, Callable

from artstore.core.logging import get_logger


async def keep_fresh(
    what: str, refresh: Callable[[], Awaitable[None]], pause_s: Callable[[], float]
) -> None:
    """Until cancelled."""
    while True:
        try:
            await refresh()
        except Exception as error:  # noqa: BLE001  the loop must outlive whatever it meets
            get_logger().error(f"{what} not refreshed", exc_info=error)
        await asyncio.sleep(pause_s())
