"""Conditional requests: a copy is confirmed, or a part given, only of exactly this file."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from artstore.query.services.conditions import http_date, not_modified, wanted_range

ETAG = '"abc"'
WHEN = datetime(2026, 11, 22, 10, 0, 0, 500_000, tzinfo=UTC)
DATE = "Sun, 22 Nov 2026 10:00:01 GMT"


def test_dates_round_up_so_that_no_copy_looks_newer_than_it_is() -> None:
    assert http_date(WHEN) == DATE
    assert http_date(WHEN.replace(microsecond=0)) == "Sun, 22 Nov 2026 10:00:00 GMT"


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ({}, False),
        ({"if-none-match": ETAG}, True),
        ({"if-none-match": f"W/{ETAG}"}, True),
        ({"if-none-match": f'"x", {ETAG}'}, True),
        ({"if-none-match": "*"}, True),
        ({"if-none-match": '"x"'}, False),
        ({"if-none-match": "abc"}, False),
        ({"if-none-match": ""}, False),
        ({"if-modified-since": DATE}, True),
        ({"if-modified-since": "Sun, 22 Nov 2026 10:00:00 GMT"}, False),
        ({"if-modified-since": "nonsense"}, False),
        ({"if-none-match": '"x"', "if-modified-since": DATE}, False),
    ],
)
def test_not_modified(headers: dict[str, str], expected: bool) -> None:
    assert not_modified(headers, ETAG, WHEN) is expected


@pytest.mark.parametrize(
    ("condition", "partial"),
    [
        (None, True),
        (ETAG, True),
        (DATE, True),
        (f"W/{ETAG}", False),
        ('"x"', False),
        ("Sun, 22 Nov 2026 10:00:02 GMT", False),
        ("", False),
    ],
)
def test_if_range(condition: str | None, partial: bool) -> None:
    headers = {"range": "bytes=1-"} | ({} if condition is None else {"if-range": condition})

    assert wanted_range(headers, ETAG, WHEN) == ("bytes=1-" if partial else None)


@given(st.text(), st.text(), st.datetimes(timezones=st.just(UTC)))
def test_no_header_does_more_than_be_ignored(tag: str, date: str, when: datetime) -> None:
    when = min(when, datetime.max.replace(tzinfo=UTC) - timedelta(seconds=1))
    not_modified({"if-none-match": tag}, ETAG, when)
    not_modified({"if-modified-since": date}, ETAG, when)
    wanted_range({"range": tag, "if-range": date}, ETAG, when)
