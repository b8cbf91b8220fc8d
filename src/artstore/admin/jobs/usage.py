"""Counts what lies in collections and belongs to accounts that have a quota."""

import asyncio
from time import perf_counter
from typing import Final

from sqlalchemy import text

from artstore.admin.jobs.regular import Regular
from artstore.admin.repository import admission
from artstore.core.database import Database
from artstore.core.errors import Unavailable
from artstore.core.logging import get_logger

COUNT_EVERY_S: Final = 10.0
OVERDUE_AFTER_S: Final = 3600.0
PAUSE_PER_COUNT: Final = 20
"""Counting takes at most a twentieth of the time, however much there is to count."""
_LOCK: Final = 0x4172_7453_5573_6167
"""Advisory lock of PostgreSQL: of several instances one counts."""


async def count_usage(database: Database) -> None:
    """Until cancelled."""
    regular = Regular("usage_count", OVERDUE_AFTER_S)
    while True:
        took_s = 0.0
        try:
            took_s = await _count(database)
            regular.went_well()
        except Unavailable as error:
            get_logger().warning("usage is not counted", cause=repr(error))
        except Exception as error:  # noqa: BLE001  the edge of the job: log it, go on
            get_logger().error("usage is not counted", exc_info=error)
        await asyncio.sleep(max(COUNT_EVERY_S, PAUSE_PER_COUNT * took_s))


async def _count(database: Database) -> float:
    """How long it took; 0 when another instance did it."""
    async with database.session() as session:
        free = await session.scalar(text("SELECT pg_try_advisory_xact_lock(:key)"), {"key": _LOCK})
        age_s = await admission.usage_age_s(session)
        if not free or (age_s is not None and age_s < COUNT_EVERY_S / 2):
            return 0.0
        began_s = perf_counter()
        await admission.count_usage(session)
        return perf_counter() - began_s
