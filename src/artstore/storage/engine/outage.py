"""The store of the files may be away. It comes back by itself, and what is owed comes first."""

import math
from collections.abc import Callable
from typing import Final

from artstore.core.errors import NoRoom, Unavailable
from artstore.core.logging import get_logger
from artstore.storage.engine.backends.base import StoreAway, StoreFull

RETRY_MIN_S: Final = 1.0
RETRY_MAX_S: Final = 15.0
"""How often a store that is away is asked whether it is back: soon at first, then rarely, since
a store that breaks its contract is tried out as a whole."""


class Outage:
    """Changed by the writer's thread only.

    Args:
        connect: Raises `StoreAway` as long as the store is away.
    """

    def __init__(self, connect: Callable[[], None]) -> None:
        self._connect = connect
        self._owed: list[Callable[[], object]] = []
        self.retry_s = RETRY_MIN_S
        self.away: StoreAway | None = None
        """Why nothing is written for now."""

    def check(self) -> None:
        """Raises `Unavailable` while the store is away, `NoRoom` if it is full."""
        if isinstance(self.away, StoreFull):
            raise NoRoom(self.away.detail)
        if self.away is not None:
            raise Unavailable(self.away.detail, retry_after_s=math.ceil(self.retry_s))

    def begin(self, away: StoreAway) -> None:
        self.away, self.retry_s = away, RETRY_MIN_S
        get_logger().error("the store of the files is away", cause=away.detail)

    def owe(self, work: Callable[[], object]) -> None:
        """Puts in place what the log holds already; raises `StoreAway`, and may be called many
        times. In the order of the log."""
        self._owed.append(work)

    def look(self) -> None:
        """Somebody could not reach the store. Raises `OSError` as `Backend.connect`."""
        try:
            self._connect()
        except StoreAway as away:
            self.begin(away)

    def try_again(self) -> bool:
        """Whether the store is back and nothing is owed any more.

        Raises:
            OSError: What is owed cannot be put in place.
        """
        try:
            self._connect()
            while self._owed:
                self._owed[0]()
                self._owed.pop(0)
        except StoreAway as away:
            if self.away is not None and self.away.detail != away.detail:
                get_logger().error("the store of the files is away", cause=away.detail)
            self.away = away
            self.retry_s = min(2 * self.retry_s, RETRY_MAX_S)
            return False
        get_logger().info("the store of the files is back")
        self.away = None
        return True
