"""How long a file must be kept. The text a user gives, and what follows from it."""

import re
from datetime import UTC, date, datetime, timedelta
from typing import Annotated, Final, Literal

from pydantic import BaseModel, ConfigDict, Field

from artstore.core.errors import InvalidMetadata

_DURATION = re.compile(r"P(?:(\d{1,4})Y)?(?:(\d{1,5})M)?(?:(\d{1,6})D)?")
YEARS_MAX = 1000
"""Beyond this a typing error is likelier than a wish; `permanent` says it better."""


class Retention(BaseModel):
    """What was promised at the upload.

    `none` may be deleted at any time. `compliance` is deleted by nobody before
    `retain_until`, also not by an administrator; without a date it is kept for good.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    policy: Annotated[str, Field(min_length=1, max_length=128)] = "none"
    mode: Literal["none", "compliance"] = "none"
    retain_until: datetime | None = None

    def forbids_deletion_at(self, moment: datetime) -> bool:
        if self.mode == "none":
            return False
        return self.retain_until is None or moment < self.retain_until


NO_RETENTION: Final = Retention()


def parse_retention(text: str, now: datetime) -> Retention:
    """What `retention=` of an upload means.

    `none`; `permanent`; a date (`2036-11-22`, kept until the end of that day, UTC) or an
    RFC 3339 time; or an ISO 8601 period of years, months and days from now (`P10Y`).

    Raises:
        InvalidMetadata: None of these, or a moment that lies in the past.
    """
    if text == "none":
        return NO_RETENTION
    if text == "permanent":
        return Retention(policy=text, mode="compliance")
    retain_until = _end_of_period(text, now) if text.startswith("P") else _end_of_date(text)
    if retain_until is None or retain_until <= now:
        raise InvalidMetadata(
            "retention is none, permanent, a future date (2036-11-22) or a period (P10Y)",
            field="retention",
        )
    return Retention(policy=text, mode="compliance", retain_until=retain_until)


def _end_of_period(text: str, now: datetime) -> datetime | None:
    match = _DURATION.fullmatch(text)
    if match is None or text == "P":
        return None
    years, months, days = (int(part or 0) for part in match.groups())
    months_total = now.month - 1 + months
    year = now.year + years + months_total // 12
    if year > now.year + YEARS_MAX or days > YEARS_MAX * 366:
        return None
    month = months_total % 12 + 1
    return now.replace(year=year, month=month, day=_last_valid_day(year, month, now.day)) + (
        timedelta(days=days)
    )


def _last_valid_day(year: int, month: int, day: int) -> int:
    """31 January plus a month is 28 or 29 February, not an error."""
    first_of_next = date(year + month // 12, month % 12 + 1, 1)
    return min(day, (first_of_next - timedelta(days=1)).day)


def _end_of_date(text: str) -> datetime | None:
    try:
        if len(text) == len("2036-11-22"):
            day = date.fromisoformat(text)
            return datetime(day.year, day.month, day.day, tzinfo=UTC) + timedelta(days=1)
        moment = datetime.fromisoformat(text)
    except (ValueError, OverflowError):
        return None
    return moment.astimezone(UTC) if moment.tzinfo else None
