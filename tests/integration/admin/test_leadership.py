"""Two admin instances, one follower: the lock and the connection that writes are one."""

import asyncio

from tests.integration.admin.feed_element import FeedElement
from tests.integration.admin.following import CatalogueUnderTest, eventually
from tests.integration.admin.test_following import caught_up

from artstore.admin.repository.positions import APPLICATION_NAME, lock_key

LOCK_HOLDERS = """
SELECT l.pid FROM pg_locks l JOIN pg_stat_activity a USING (pid)
WHERE l.locktype = 'advisory' AND l.granted AND a.application_name = %s
  AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
"""


async def holders(catalogue: CatalogueUnderTest) -> list[int]:
    return [row["pid"] for row in await catalogue.query(LOCK_HOLDERS, APPLICATION_NAME)]


async def test_one_of_two_follows(catalogue: CatalogueUnderTest, element: FeedElement) -> None:
    async with catalogue.following(), catalogue.following():
        element.create("one.txt")
        await caught_up(catalogue, element)
        assert len(await holders(catalogue)) == 1
        assert element.requests.count("GET /api/v1/info") == 1
        element.create("two.txt")
        await caught_up(catalogue, element)


async def test_another_takes_over_when_the_leader_stops(
    catalogue: CatalogueUnderTest, element: FeedElement
) -> None:
    async with catalogue.following() as first:
        await caught_up(catalogue, element)
        async with catalogue.following():
            first.cancel()
            await asyncio.gather(first, return_exceptions=True)
            element.create("afterwards.txt")
            await caught_up(catalogue, element)


async def test_losing_the_connection_is_losing_the_leadership(
    catalogue: CatalogueUnderTest, element: FeedElement
) -> None:
    async with catalogue.following(), catalogue.following():
        await caught_up(catalogue, element)
        (leader,) = await holders(catalogue)
        await catalogue.query("SELECT pg_terminate_backend(%s)", leader)
        element.create("afterwards.txt")
        await caught_up(catalogue, element)

        async def led_by_another() -> bool:
            now = await holders(catalogue)
            return len(now) == 1 and now != [leader]

        await eventually(led_by_another, "another leader")
    assert len(await catalogue.states()) == 1


def test_each_element_has_its_own_lock() -> None:
    assert lock_key("edit-1") != lock_key("edit-2")
    assert -(2**63) <= lock_key("edit-1") < 2**63
