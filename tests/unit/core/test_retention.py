import contextlib
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from artstore.core.errors import InvalidMetadata
from artstore.core.model.retention import parse_retention

NOW = datetime(2026, 1, 31, 12, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "until"),
    [
        ("P10Y", datetime(2036, 1, 31, 12, 0, tzinfo=UTC)),
        ("P1M", datetime(2026, 2, 28, 12, 0, tzinfo=UTC)),
        ("P30D", NOW + timedelta(days=30)),
        ("P1Y2M3D", datetime(2027, 4, 3, 12, 0, tzinfo=UTC)),
        ("2036-11-22", datetime(2036, 11, 23, tzinfo=UTC)),
        ("2036-11-22T10:00:00+03:00", datetime(2036, 11, 22, 7, 0, tzinfo=UTC)),
    ],
)
def test_a_date_or_a_period_is_kept_until_its_end(text: str, until: datetime) -> None:
    retention = parse_retention(text, NOW)

    assert retention.retain_until == until
    assert retention.mode == "compliance"
    assert retention.forbids_deletion_at(until - timedelta(microseconds=1))
    assert not retention.forbids_deletion_at(until)


def test_permanent_never_ends() -> None:
    assert parse_retention("permanent", NOW).forbids_deletion_at(datetime(9999, 1, 1, tzinfo=UTC))


def test_none_forbids_nothing() -> None:
    assert not parse_retention("none", NOW).forbids_deletion_at(NOW)


@pytest.mark.parametrize(
    "text",
    ["", "P", "P0D", "p1y", "P1.5Y", "PT1H", "2020-01-01", "2036-13-01", "2036-11-22T10:00:00",
     "P9999Y", "P99999M", "forever", "P1Y\n", "NONE", "9999-12-31", "-P1Y"],
)  # fmt: skip
def test_what_is_unclear_or_past_is_refused(text: str) -> None:
    with pytest.raises(InvalidMetadata) as refusal:
        parse_retention(text, NOW)
    assert refusal.value.fields["field"] == "retention"


@given(st.text(max_size=30))
def test_no_text_breaks_the_parser(text: str) -> None:
    with contextlib.suppress(InvalidMetadata):
        parse_retention(text, NOW)


@given(st.integers(0, 999), st.integers(0, 99), st.integers(0, 999))
def test_a_longer_period_never_ends_earlier(years: int, months: int, days: int) -> None:
    try:
        shorter = parse_retention(f"P{years}Y{months}M{days}D", NOW)
        longer = parse_retention(f"P{years}Y{months}M{days + 1}D", NOW)
    except InvalidMetadata:
        return
    assert shorter.retain_until is not None
    assert longer.retain_until is not None
    assert shorter.retain_until < longer.retain_until
