"""Makes an `Idempotency-Key` for each upload: with it, what is sent again is stored once."""

import os
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Final

from artstore.core.model.ids import FileIdSource

CLOCK_DIFFERENCE_MIN: Final = timedelta(seconds=30)
"""Less than this is the way of the answer, and the seconds it is rounded to."""


class KeySource:
    """By the server's clock, as far as it was heard: a server takes keys of today only, and the
    clock of a computer may be hours off."""

    def __init__(self) -> None:
        self._ids = FileIdSource()
        self._server_ahead = timedelta()

    def heard(self, date: str | None) -> None:
        """Args: `date`: the field `Date` of an answer that came just now."""
        try:
            sent_at = parsedate_to_datetime(date or "")
        except ValueError:
            return
        ahead = sent_at - datetime.now(UTC)
        self._server_ahead = ahead if abs(ahead) >= CLOCK_DIFFERENCE_MIN else timedelta()

    def new(self) -> str:
        return self._ids.new(self.now(), os.urandom(10))

    def now(self) -> datetime:
        """The server's time."""
        return datetime.now(UTC) + self._server_ahead
