"""Work that is done again and again says when it last went well, and how long that may be ago.

The limit is a metric too, so that one alert fits all of them.
"""

from artstore.core.metrics import JOBS_LAST_SUCCESS, JOBS_OVERDUE_AFTER


class Regular:
    """Make one where the work begins: what never goes well is overdue, counted from then."""

    def __init__(self, kind: str, overdue_after_s: float) -> None:
        self._last_success = JOBS_LAST_SUCCESS.labels(kind)
        JOBS_OVERDUE_AFTER.labels(kind).set(overdue_after_s)
        self.went_well()

    def went_well(self) -> None:
        self._last_success.set_to_current_time()
