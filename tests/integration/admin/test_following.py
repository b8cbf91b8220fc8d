"""Goal: whatever an element or the connection does, the catalogue ends up saying what the
element holds, and never takes absence for deletion.

Method: a real follower on a real PostgreSQL against an element that fails on command.
"""

import asyncio

import pytest
from tests.integration.admin.feed_element import FeedElement, make_record
from tests.integration.admin.following import CatalogueUnderTest, eventually
from tests.support.pki import Pki

from artstore.admin.repository.catalogue_files import connection_of
from artstore.admin.services.catalogue.rows import row_of, write_rows
from artstore.core.errors import Unavailable


async def caught_up(catalogue: CatalogueUnderTest, element: FeedElement) -> None:
    async def condition() -> bool:
        state = await catalogue.element(element.element_id)
        return bool(
            state["state"] == "following"
            and state["feed_id"] == element.feed_id
            and state["position_seq"] == element.head_seq
        )

    await eventually(condition, "catching up")


async def test_what_was_there_and_what_comes_is_shown(
    catalogue: CatalogueUnderTest, element: FeedElement
) -> None:
    before = element.create("before.txt")
    async with catalogue.following():
        await caught_up(catalogue, element)
        after = element.create("after.txt")
        await caught_up(catalogue, element)
    assert await catalogue.states() == {before.file_id: "present", after.file_id: "present"}


async def test_a_row_says_what_the_record_says(
    catalogue: CatalogueUnderTest, element: FeedElement
) -> None:
    record = element.create(
        "отчёт\0.pdf",
        tags=["a\0b", "legal"],
        metadata={"k": "v\0", "deep": {"x": [1, 2.5, None, True]}, "big": 10**40},
    )
    async with catalogue.following():
        await caught_up(catalogue, element)
    (row,) = await catalogue.query("SELECT * FROM catalogue.files")
    assert row["record"] == record.to_json()
    assert row["sha256"].hex() == record.sha256
    assert row["original_filename"] == "отчёт\ufffd.pdf"
    assert row["tags"] == ["a\ufffdb", "legal"]
    assert row["metadata"]["k"] == "v\ufffd"
    assert row["metadata"]["deep"] == {"x": [1, 2.5, None, True]}
    assert row["metadata"]["big"] == 10**40
    assert row["uploaded_by"] == "account:1"
    assert row["element_id"] == "edit-1"


async def test_updates_and_deletions_are_shown(
    catalogue: CatalogueUnderTest, element: FeedElement
) -> None:
    async with catalogue.following():
        kept, gone = element.create("kept.txt"), element.create("gone.txt")
        element.update(kept, tags=["seen"])
        element.delete(gone)
        await caught_up(catalogue, element)
    assert await catalogue.states() == {kept.file_id: "present", gone.file_id: "deleted"}
    (row,) = await catalogue.query("SELECT tags, revision FROM catalogue.files WHERE tags <> '{}'")
    assert row == {"tags": ["seen"], "revision": 2}


async def test_deletions_are_shown_by_a_listing_too(
    catalogue: CatalogueUnderTest, element: FeedElement
) -> None:
    gone = element.create("gone.txt")
    element.delete(gone)
    async with catalogue.following():
        await caught_up(catalogue, element)
    assert await catalogue.states() == {gone.file_id: "deleted"}


async def test_many_files_come_in_batches(
    catalogue: CatalogueUnderTest, element: FeedElement
) -> None:
    for number in range(2300):
        element.create(f"{number}.txt")
    async with catalogue.following():
        await caught_up(catalogue, element)
        for number in range(1200):
            element.create(f"later {number}.txt")
        await caught_up(catalogue, element)
    (row,) = await catalogue.query("SELECT count(*) AS files FROM catalogue.files")
    assert row["files"] == 3500


@pytest.mark.parametrize("phase", ["listing", "watching"])
async def test_answers_that_break_off_lose_nothing(
    catalogue: CatalogueUnderTest, element: FeedElement, phase: str
) -> None:
    if phase == "watching":
        async with catalogue.following():
            await caught_up(catalogue, element)
    for number in range(12):
        element.create(f"{number}.txt")
    element.cut_after_lines = 3
    async with catalogue.following():
        if phase == "watching":
            await caught_up(catalogue, element)
        else:
            await eventually(lambda: _count(catalogue, 12), "the listing getting on")
            element.cut_after_lines = None
            await caught_up(catalogue, element)
    assert set(await catalogue.states()) == set(element.records)


async def _count(catalogue: CatalogueUnderTest, number: int) -> bool:
    return len(await catalogue.states()) == number


async def test_lines_that_come_twice_change_nothing(
    catalogue: CatalogueUnderTest, element: FeedElement
) -> None:
    async with catalogue.following():
        await caught_up(catalogue, element)
        element.repeat_lines = True
        record = element.create("once.txt")
        changed = element.update(record, tags=["twice"])
        await caught_up(catalogue, element)
    (row,) = await catalogue.query("SELECT revision, record FROM catalogue.files")
    assert row == {"revision": 2, "record": changed.to_json()}


async def test_slow_answers_are_waited_for(
    catalogue: CatalogueUnderTest, element: FeedElement
) -> None:
    element.pause_s = 0.05
    async with catalogue.following():
        await caught_up(catalogue, element)
        for number in range(5):
            element.create(f"{number}.txt")
        await caught_up(catalogue, element)
    assert len(await catalogue.states()) == 5


async def test_a_position_that_is_gone_leads_to_a_listing(
    catalogue: CatalogueUnderTest, element: FeedElement
) -> None:
    async with catalogue.following():
        element.create("first.txt")
        await caught_up(catalogue, element)
    element.create("unseen.txt")
    element.changes.clear()
    element.oldest_seq = 50
    async with catalogue.following():
        await caught_up(catalogue, element)
    assert set(await catalogue.states()) == set(element.records)
    assert (await catalogue.element())["position_seq"] == 50


async def test_another_feed_leads_to_a_listing_and_what_is_lost_is_missing(
    catalogue: CatalogueUnderTest, element: FeedElement
) -> None:
    async with catalogue.following():
        first, middle, last = (element.create(f"{number}.txt") for number in range(3))
        gone = element.create("gone.txt")
        element.delete(gone)
        await caught_up(catalogue, element)
        for record in (first, last, gone):
            element.lose(record)
        element.restore_another_disk("second")
        await caught_up(catalogue, element)
    assert await catalogue.states() == {
        first.file_id: "missing",
        middle.file_id: "present",
        last.file_id: "missing",
        gone.file_id: "deleted",
    }


async def test_a_feed_that_only_looks_alike_is_not_followed(
    catalogue: CatalogueUnderTest, element: FeedElement
) -> None:
    """The new history is longer than the old position: only its name gives it away."""
    async with catalogue.following():
        lost = element.create("lost.txt")
        await caught_up(catalogue, element)
    element.lose(lost)
    element.restore_another_disk("second")
    for number in range(3):
        element.create(f"{number}.txt")
    async with catalogue.following():
        await caught_up(catalogue, element)
    states = await catalogue.states()
    assert states.pop(lost.file_id) == "missing"
    assert set(states) == set(element.records)


async def test_a_missing_file_that_comes_back_is_present(
    catalogue: CatalogueUnderTest, element: FeedElement
) -> None:
    async with catalogue.following():
        record = element.create("lost and found.txt")
        await caught_up(catalogue, element)
        element.lose(record)
        element.restore_another_disk("second")
        await caught_up(catalogue, element)
        assert await catalogue.states() == {record.file_id: "missing"}
        element.records[record.file_id] = record
        element.restore_another_disk("third")
        await caught_up(catalogue, element)
    assert await catalogue.states() == {record.file_id: "present"}


async def test_an_older_disk_is_the_truth(
    catalogue: CatalogueUnderTest, element: FeedElement
) -> None:
    """A restored disk holds an older revision. The element is right, whatever we knew."""
    async with catalogue.following():
        old = element.create("letter.txt")
        element.update(old, tags=["newer"])
        await caught_up(catalogue, element)
        element.records[old.file_id] = old
        element.restore_another_disk("second")
        await caught_up(catalogue, element)
    (row,) = await catalogue.query("SELECT revision, record FROM catalogue.files")
    assert row == {"revision": 1, "record": old.to_json()}


async def test_files_that_come_during_a_listing_are_not_missing(
    catalogue: CatalogueUnderTest, element: FeedElement
) -> None:
    element.create("before.txt")
    element.listing_gate = asyncio.Event()
    async with catalogue.following():
        await eventually(lambda: _state_is(catalogue, "listing"), "the listing beginning")
        during = element.create("during.txt")
        element.lose(during)
        element.listing_gate.set()
        element.records[during.file_id] = during
        await caught_up(catalogue, element)
    assert set((await catalogue.states()).values()) == {"present"}


async def test_a_row_written_during_a_listing_for_a_later_file_is_not_missing(
    catalogue: CatalogueUnderTest, element: FeedElement
) -> None:
    """A route shows a change at once; the listing that runs has never heard of the file."""
    element.create("before.txt")
    element.listing_gate = asyncio.Event()
    async with catalogue.following():
        await eventually(lambda: _state_is(catalogue, "listing"), "the listing beginning")
        later = make_record("later.txt")
        async with catalogue.pool.session() as session:
            await write_rows(await connection_of(session), [row_of(later, "edit-1", 0)])
        element.listing_gate.set()
        await caught_up(catalogue, element)
    assert (await catalogue.states())[later.file_id] == "present"


async def _state_is(catalogue: CatalogueUnderTest, state: str) -> bool:
    return bool((await catalogue.element())["state"] == state)


async def test_an_element_that_is_away_is_noted_and_followed_again(
    catalogue: CatalogueUnderTest, element: FeedElement
) -> None:
    async with catalogue.following():
        await caught_up(catalogue, element)
        element.away = True
        await eventually(lambda: _trouble_is(catalogue, "unavailable"), "the outage being noted")
        element.away = False
        element.create("afterwards.txt")
        await caught_up(catalogue, element)
        await eventually(lambda: _trouble_is(catalogue, None), "the outage being over")


async def _trouble_is(catalogue: CatalogueUnderTest, trouble: str | None) -> bool:
    return bool((await catalogue.element())["trouble"] == trouble)


async def test_another_element_at_the_address_is_not_followed(
    catalogue: CatalogueUnderTest, element: FeedElement
) -> None:
    element.answers_as = "rw-7"
    element.create("foreign.txt")
    async with catalogue.following():
        await eventually(lambda: _trouble_is(catalogue, "other_element"), "the trouble")
    assert await catalogue.states() == {}


async def test_a_listing_in_disorder_marks_nothing(
    catalogue: CatalogueUnderTest, element: FeedElement, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(3):
        element.create(f"{number}.txt")
    monkeypatch.setattr(element, "repeat_lines", True)
    async with catalogue.following():
        await eventually(lambda: _trouble_is(catalogue, "broken"), "the trouble")
        assert await catalogue.states() == {}
        element.repeat_lines = False
        await caught_up(catalogue, element)


async def test_a_feed_in_disorder_is_not_taken_over(
    catalogue: CatalogueUnderTest, element: FeedElement
) -> None:
    """The audit goes by the sequence: what came late would be missed there for good."""
    async with catalogue.following():
        await caught_up(catalogue, element)
    for number in range(3):
        element.create(f"{number}.txt")
    first, second, third = element.changes
    element.changes[:] = [second, first, third]
    async with catalogue.following():
        await eventually(lambda: _trouble_is(catalogue, "broken"), "the trouble")
        assert await catalogue.states() == {}
        element.changes[:] = [first, second, third]
        await caught_up(catalogue, element)


async def test_a_record_nobody_can_read_stops_only_its_element(
    catalogue: CatalogueUnderTest, element: FeedElement, pki: Pki
) -> None:
    bad = make_record("bad.txt").model_copy(update={"size": -1})
    async with FeedElement(pki, "rw-1") as other:
        await catalogue.register(other.entry)
        element.records[bad.file_id] = bad
        good = other.create("good.txt")
        async with catalogue.following():
            await caught_up(catalogue, other)
            await eventually(lambda: _trouble_is(catalogue, "broken"), "the trouble")
    assert await catalogue.states() == {good.file_id: "present"}


async def test_the_followers_position_survives_a_restart(
    catalogue: CatalogueUnderTest, element: FeedElement
) -> None:
    async with catalogue.following():
        element.create("one.txt")
        await caught_up(catalogue, element)
    element.requests.clear()
    async with catalogue.following():
        element.create("two.txt")
        await caught_up(catalogue, element)
    assert "GET /api/v1/files" not in element.requests


async def test_a_connection_refused_is_an_outage(
    catalogue: CatalogueUnderTest, element: FeedElement
) -> None:
    with pytest.raises(Unavailable):
        await catalogue.client.info("https://127.0.0.1:1")
