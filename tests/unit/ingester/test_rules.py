"""The cached rules of admission: they outlive the admin module, and count between two counts."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import pytest
from tests.support.rules import RulesGiven

from artstore.core.clock import SystemClock
from artstore.core.errors import QuotaExceeded, Unavailable
from artstore.core.model.admission import (
    AccountQuota,
    Admission,
    AdmissionRules,
    CollectionRules,
    Usage,
)
from artstore.ingester.services.rules import CachedRules

CLOCK = SystemClock()


def limited(used_bytes: int, used_files: int, *, counted_s_ago: float = 0) -> AdmissionRules:
    """The collection `c` may hold 100 bytes and 5 files, the account `a` 3 files anywhere."""
    counted_at = datetime.now(UTC) - timedelta(seconds=counted_s_ago)
    usage = Usage(used_bytes=used_bytes, used_files=used_files, counted_at=counted_at)
    quota = Admission(quota_bytes=100, quota_files=5)
    return AdmissionRules(
        collections=(CollectionRules(collection="c", admission=quota, usage=usage),),
        accounts=(AccountQuota(subject="a", quota_files=3),),
    )


async def cached(rules: AdmissionRules) -> tuple[CachedRules, RulesGiven]:
    source = RulesGiven(rules)
    view = CachedRules(source, CLOCK, refresh_s=60)
    await view.refresh()
    return view, source


def admit(view: CachedRules, size: int, subject: str = "b", collection: str = "c") -> None:
    with view.room_for(collection, subject, size) as room:
        room.taken_bytes = size


async def test_nothing_is_admitted_before_the_rules_are_known() -> None:
    source = RulesGiven(failure=Unavailable())
    view = CachedRules(source, CLOCK, refresh_s=60)
    await view.refresh()

    with pytest.raises(Unavailable):
        view.of("c")
    with pytest.raises(Unavailable):
        await view.check()
    source.failure = None
    await view.refresh()
    assert view.of("c") == Admission()


async def test_rules_stay_in_force_while_the_admin_module_is_away() -> None:
    view, source = await cached(limited(0, 0))
    source.failure = Unavailable()
    await view.refresh()

    assert view.of("c").quota_files == 5
    assert view.of("another") == Admission()


async def test_what_came_in_since_the_count_counts() -> None:
    view, _ = await cached(limited(used_bytes=50, used_files=1))
    admit(view, 30)

    with pytest.raises(QuotaExceeded) as refused:
        admit(view, 21)
    assert refused.value.fields == {"quota_of": "collection", "limit_bytes": 100}
    admit(view, 20)
    admit(view, 0)
    admit(view, 0)
    with pytest.raises(QuotaExceeded, match="5 files"):
        admit(view, 0)


async def test_uploads_under_way_hold_their_room() -> None:
    view, _ = await cached(limited(0, 0))
    with view.room_for("c", "b", 60), pytest.raises(QuotaExceeded):
        admit(view, 60)
    # It failed: its room is free again.
    admit(view, 60)


async def test_an_account_has_a_quota_over_all_collections() -> None:
    view, _ = await cached(limited(0, 0))
    for collection in ("x", "y", "z"):
        admit(view, 1 << 40, "a", collection)
    with pytest.raises(QuotaExceeded) as refused:
        admit(view, 1, "a", "x")
    assert refused.value.fields["quota_of"] == "account"
    admit(view, 1, "b", "x")


async def test_a_later_count_takes_the_place_of_what_was_remembered() -> None:
    view, source = await cached(limited(0, 0, counted_s_ago=60))
    admit(view, 90)
    source.rules = limited(0, 0, counted_s_ago=5)
    await view.refresh()
    with pytest.raises(QuotaExceeded):
        admit(view, 20)

    # Counted so late that the catalogue must have seen it: deleted since, it seems.
    source.rules = limited(0, 0, counted_s_ago=-30)
    await view.refresh()
    admit(view, 100)


async def test_a_quota_that_was_taken_away_limits_nothing() -> None:
    view, source = await cached(limited(100, 5))
    source.rules = AdmissionRules()
    await view.refresh()
    admit(view, 1000)


async def chunks_of(*sizes: int) -> AsyncIterator[bytes]:
    for size in sizes:
        yield bytes(size)


async def test_what_does_not_say_its_size_takes_room_while_it_comes() -> None:
    view, _ = await cached(limited(0, 0))
    with view.room_for("c", "b", 20) as room:
        passed = [len(chunk) async for chunk in room.growing_with(chunks_of(10, 30, 20))]
        assert passed == [10, 30, 20]
        with pytest.raises(QuotaExceeded):
            admit(view, 41)
    with pytest.raises(QuotaExceeded), view.room_for("c", "b", 0) as room:
        async for _ in room.growing_with(chunks_of(60, 41)):
            pass
    # Neither came in: all of the room is free again.
    admit(view, 100)


async def test_an_account_without_more_files_may_end_the_one_it_sends() -> None:
    view, _ = await cached(limited(0, 4))
    with view.room_for("c", "b", 0) as room:
        assert [len(chunk) async for chunk in room.growing_with(chunks_of(1))] == [1]
