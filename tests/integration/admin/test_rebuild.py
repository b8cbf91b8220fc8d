"""Goal: every row can be made again, identical, also when something dies in the middle."""

import asyncio
import random
from uuid import UUID

import pytest
from tests.integration.admin.feed_element import FeedElement
from tests.integration.admin.following import CatalogueUnderTest, eventually
from tests.integration.admin.test_following import caught_up

from artstore.admin.repository.positions import Positions, Superseded, connect
from artstore.admin.services.audit.trail import Trail, Who
from artstore.admin.services.catalogue.status import Catalogue
from artstore.core.clock import SystemClock
from artstore.core.secrets.chain import fixed_login


def status_of(catalogue: CatalogueUnderTest) -> Catalogue:
    return Catalogue(catalogue.pool, catalogue.client, Trail(SystemClock()))


def fill(element: FeedElement, files: int) -> None:
    """A history with changes and deletions, the same for each run."""
    chance = random.Random(7)
    for number in range(files):
        record = element.create(
            f"файл\0 {number}.txt", tags=[f"t{number % 7}"], metadata={"n": number}
        )
        if chance.random() < 0.3:
            record = element.update(record, tags=["changed"])
        if chance.random() < 0.2:
            element.delete(record)


@pytest.mark.parametrize("from_scratch", [True, False])
async def test_a_rebuild_gives_identical_rows(
    catalogue: CatalogueUnderTest, element: FeedElement, *, from_scratch: bool
) -> None:
    async with catalogue.following():
        await caught_up(catalogue, element)
        fill(element, 700)
        await caught_up(catalogue, element)
        before = await catalogue.rows()

        await status_of(catalogue).rebuild(from_scratch=from_scratch, ordered_by=Who(name="test"))
        await eventually(lambda: listed(catalogue, 2), "the listing")
        await caught_up(catalogue, element)
    assert await catalogue.rows() == before
    assert len(before) == 700


async def listed(catalogue: CatalogueUnderTest, times: int) -> bool:
    state = await catalogue.element()
    return bool(state["generation"] >= times and state["state"] == "following")


async def test_a_rebuild_in_place_repairs_rows(
    catalogue: CatalogueUnderTest, element: FeedElement
) -> None:
    async with catalogue.following():
        fill(element, 50)
        await caught_up(catalogue, element)
        before = await catalogue.rows()
        await catalogue.query(
            "UPDATE catalogue.files SET original_filename = 'x', revision = 99, search_text = 'y'"
        )
        await status_of(catalogue).rebuild(from_scratch=False, ordered_by=Who(name="test"))
        await eventually(lambda: listed(catalogue, 2), "the listing")
    assert await catalogue.rows() == before


async def test_files_stay_findable_during_a_rebuild_in_place(
    catalogue: CatalogueUnderTest, element: FeedElement
) -> None:
    async with catalogue.following():
        fill(element, 20)
        await caught_up(catalogue, element)
        before = await catalogue.rows()
        element.listing_gate = asyncio.Event()
        await status_of(catalogue).rebuild(from_scratch=False, ordered_by=Who(name="test"))
        await eventually(lambda: in_state(catalogue, "listing"), "the listing beginning")
        assert (await status_of(catalogue).status()).rebuilding
        assert await catalogue.rows() == before
        element.listing_gate.set()
        await caught_up(catalogue, element)
        assert not (await status_of(catalogue).status()).rebuilding


async def in_state(catalogue: CatalogueUnderTest, state: str) -> bool:
    return bool((await catalogue.element())["state"] == state)


async def test_a_rebuild_goes_on_after_a_crash_in_its_middle(
    catalogue: CatalogueUnderTest, element: FeedElement
) -> None:
    fill(element, 60)
    async with catalogue.following():
        await caught_up(catalogue, element)
        before = await catalogue.rows()
    await status_of(catalogue).rebuild(from_scratch=True, ordered_by=Who(name="test"))
    element.cut_after_lines = 20
    async with catalogue.following():
        await eventually(lambda: has_rows(catalogue, 20), "some of the listing")
    stopped_at = (await catalogue.element())["listing_after"]
    assert stopped_at is not None
    assert await in_state(catalogue, "listing")

    element.cut_after_lines = None
    async with catalogue.following():
        await caught_up(catalogue, element)
    assert await catalogue.rows() == before
    assert (await catalogue.element())["generation"] == 2, "it went on, it did not begin again"


async def test_a_follower_that_missed_the_order_cannot_write(
    catalogue: CatalogueUnderTest, element: FeedElement
) -> None:
    connection = await connect(
        catalogue.database.admin_url, fixed_login(catalogue.database.admin_password)
    )
    async with connection:
        positions = Positions(connection, element.element_id)
        known = await positions.read()
        now = SystemClock().now()
        await positions.advance(known, 1, now, complete_until=now)
        await status_of(catalogue).rebuild(from_scratch=False, ordered_by=Who(name="test"))
        writes = (
            positions.advance(known, 2, now, complete_until=now),
            positions.advance_listing(known, UUID(int=1), now),
            positions.end_listing(known, now),
            positions.begin_listing(known, "feed", 3, now),
        )
        for write in writes:
            with pytest.raises(Superseded):
                await write
    assert (await catalogue.element())["state"] == "new"


async def has_rows(catalogue: CatalogueUnderTest, number: int) -> bool:
    return len(await catalogue.states()) >= number


async def test_status_tells_positions_lag_and_counts(
    catalogue: CatalogueUnderTest, element: FeedElement
) -> None:
    async with catalogue.following():
        element.create("kept.txt")
        element.delete(element.create("gone.txt"))
        await caught_up(catalogue, element)
    element.create("unseen.txt")
    (progress,) = (await status_of(catalogue).status()).elements
    assert (progress.position_seq, progress.head_seq, progress.behind) == (3, 4, 1)
    assert progress.files.model_dump() == {"present": 1, "deleted": 1, "missing": 0}
    assert progress.last_seen is not None


async def test_status_of_an_element_that_is_away(
    catalogue: CatalogueUnderTest, element: FeedElement
) -> None:
    element.away = True
    (progress,) = (await status_of(catalogue).status()).elements
    assert progress.head_seq is None
    assert progress.behind is None
