"""Moments as clients name them."""

from datetime import UTC, datetime
from typing import Annotated

from pydantic import AfterValidator, AwareDatetime


def _in_utc(value: datetime) -> datetime:
    """Nothing can read a moment of the year 0 or 10000 back, once it is written down."""
    try:
        return value.astimezone(UTC)
    except OverflowError:
        raise ValueError("a moment lies in the years 1 to 9999, as UTC counts them") from None


Moment = Annotated[AwareDatetime, AfterValidator(_in_utc)]
