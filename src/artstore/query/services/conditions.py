"""Conditional requests (RFC 9110, 13): what a client has already, and whether it still holds.

Stored bytes never change, so an entity tag (the SHA-256) that matches once matches for good.
"""

import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime, parsedate_to_datetime
from typing import Final

_ENTITY_TAG: Final = re.compile(r'(?:W/)?("[^"]*")')


def not_modified(headers: Mapping[str, str], etag: str, modified_at: datetime) -> bool:
    """Whether the client's copy is good. `If-None-Match` goes before `If-Modified-Since`."""
    if "if-none-match" in headers:
        return has_current(headers, etag)
    since = _parse_date(headers.get("if-modified-since"))
    return since is not None and _to_the_second(modified_at) <= since


def has_current(headers: Mapping[str, str], etag: str) -> bool:
    """Whether `If-None-Match` names `etag`. Weak tags do: nobody joins parts by it."""
    candidates = headers.get("if-none-match", "")
    return candidates.strip() == "*" or etag in _ENTITY_TAG.findall(candidates)


def wanted_range(headers: Mapping[str, str], etag: str, modified_at: datetime) -> str | None:
    """The `Range` to be answered; `None` for the whole file.

    A client that resumes says with `If-Range` what its part is of. When that is not this
    file, it gets all of this one: a part would corrupt its copy. Weak tags never match.
    """
    condition = headers.get("if-range")
    if condition is None or condition == etag:
        return headers.get("range")
    if _parse_date(condition) == _to_the_second(modified_at):
        return headers.get("range")
    return None


def http_date(moment: datetime) -> str:
    return format_datetime(_to_the_second(moment), usegmt=True)


def _to_the_second(moment: datetime) -> datetime:
    """HTTP dates have no fractions; cutting them would make a copy look older than it is."""
    whole = moment.astimezone(UTC).replace(microsecond=0)
    return whole if whole == moment else whole + timedelta(seconds=1)


def _parse_date(text: str | None) -> datetime | None:
    if text is None:
        return None
    try:
        moment = parsedate_to_datetime(text)
    except (ValueError, OverflowError):
        return None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
