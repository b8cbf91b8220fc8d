"""Who holds a file, when more than one element does: any order of arrival ends alike."""

import asyncio
import itertools
from collections.abc import Iterable
from typing import Any
from uuid import UUID

import pytest
from tests.integration.admin.feed_element import make_record
from tests.integration.admin.following import CatalogueUnderTest, eventually

from artstore.admin.repository import holders
from artstore.admin.repository.catalogue_files import (
    Connection,
    FileRow,
    Stretch,
    connection_of,
    mark_missing,
)
from artstore.admin.repository.copies import note_findings
from artstore.admin.repository.positions import connect
from artstore.admin.services.catalogue.rows import row_of, write_rows
from artstore.core.model.element import ElementEntry
from artstore.core.secrets.chain import fixed_login

RECORD = make_record("letter.txt", collection="twice")
FILE = UUID(RECORD.file_id)


@pytest.fixture(autouse=True)
async def empty(catalogue: CatalogueUnderTest) -> None:
    for table in ("catalogue.copies", "catalogue.copies_due", "policy.collections", "jobs.jobs"):
        await catalogue.query(f"TRUNCATE {table}")
    names = ("a", "b", "c")
    await catalogue.register(
        *(ElementEntry(element_id=name, url=f"https://{name}") for name in names)
    )


def row(element_id: str, revision: int = 1, generation: int = 1, **fields: Any) -> FileRow:
    record = RECORD.model_copy(update={"revision": revision})
    return row_of(record, element_id, generation)._replace(**fields)


async def write(catalogue: CatalogueUnderTest, *rows: FileRow) -> None:
    for each in rows:
        async with catalogue.pool.session() as session:
            await write_rows(await connection_of(session), [each])


async def served_from(catalogue: CatalogueUnderTest) -> tuple[str, str, int]:
    (found,) = await catalogue.query("SELECT element_id, state, revision FROM catalogue.files")
    return found["element_id"], found["state"], found["revision"]


async def held(catalogue: CatalogueUnderTest) -> dict[str, tuple[str, int]]:
    rows = await catalogue.query("SELECT element_id, state, revision FROM catalogue.copies")
    return {each["element_id"]: (each["state"], each["revision"]) for each in rows}


async def due(catalogue: CatalogueUnderTest) -> set[UUID]:
    return {each["file_id"] for each in await catalogue.query("SELECT * FROM catalogue.copies_due")}


async def listed(catalogue: CatalogueUnderTest, element_id: str, generation: int) -> int:
    """A complete listing of the element that lacked the file."""
    async with catalogue.pool.session() as session:
        stretch = Stretch(element_id, generation, UUID(int=0), UUID(int=(1 << 128) - 1))
        return await mark_missing(await connection_of(session), stretch)


async def found(
    catalogue: CatalogueUnderTest, element_id: str, damaged: Iterable[UUID], mended: Iterable[UUID]
) -> None:
    async with catalogue.pool.session() as session:
        connection = await connection_of(session)
        await note_findings(connection, element_id, list(damaged), list(mended))


async def test_a_file_of_one_element_needs_no_row(catalogue: CatalogueUnderTest) -> None:
    await write(catalogue, row("a"), row("a", 2), row("a", 2, generation=2))
    assert await held(catalogue) == {}
    assert await due(catalogue) == set()


@pytest.mark.parametrize("order", list(itertools.permutations("abc")))
async def test_all_holders_are_known_in_any_order(
    catalogue: CatalogueUnderTest, order: tuple[str, ...]
) -> None:
    await write(catalogue, *(row(name) for name in order))
    assert await held(catalogue) == dict.fromkeys("abc", ("present", 1))
    assert await served_from(catalogue) == ("a", "present", 1)
    assert await due(catalogue) == {FILE}


@pytest.mark.parametrize("order", [("a", "b"), ("b", "a")])
async def test_two_followers_at_the_same_moment(
    catalogue: CatalogueUnderTest, order: tuple[str, str]
) -> None:
    """Goal: neither sees the other's row, and none is lost. Method: the second merges while the
    first has not committed."""
    url, password = catalogue.database.admin_url, catalogue.database.admin_password
    async with (
        await connect(url, fixed_login(password)) as first,
        await connect(url, fixed_login(password)) as second,
    ):
        async with first.transaction():
            await write_rows(first, [row(order[0])])
            waiting = asyncio.create_task(merge(second, row(order[1])))
            await eventually(lambda: is_blocked(catalogue), "the second waiting")
        await waiting
    assert await held(catalogue) == dict.fromkeys("ab", ("present", 1))
    assert await served_from(catalogue) == ("a", "present", 1)


async def merge(connection: Connection, each: FileRow) -> None:
    async with connection.transaction():
        await write_rows(connection, [each])


async def is_blocked(catalogue: CatalogueUnderTest) -> bool:
    statement = "SELECT 1 FROM pg_stat_activity WHERE wait_event_type = 'Lock'"
    return bool(await catalogue.query(statement))


async def test_a_later_revision_is_served_and_the_older_copy_is_due(
    catalogue: CatalogueUnderTest,
) -> None:
    await write(catalogue, row("a"), row("b"), row("b", 2))
    assert await served_from(catalogue) == ("b", "present", 2)
    assert await held(catalogue) == {"a": ("present", 1), "b": ("present", 2)}
    assert await due(catalogue) == {FILE}


async def test_a_draining_element_serves_last(catalogue: CatalogueUnderTest) -> None:
    await write(catalogue, row("a"))
    await catalogue.query("UPDATE catalogue.elements SET drain = 'draining' WHERE element_id = 'a'")
    await write(catalogue, row("b"))
    assert (await served_from(catalogue))[0] == "b"
    await write(catalogue, row("a"))
    assert (await served_from(catalogue))[0] == "b"


async def test_what_an_element_lost_another_serves_until_it_is_back(
    catalogue: CatalogueUnderTest,
) -> None:
    await write(catalogue, row("a"), row("b"))
    assert await listed(catalogue, "a", 2) == 0, "no file is missing altogether"
    assert await served_from(catalogue) == ("b", "present", 1)
    assert await held(catalogue) == {"a": ("missing", 1), "b": ("present", 1)}
    assert await due(catalogue) == {FILE}
    await write(catalogue, row("a", generation=2))
    assert await served_from(catalogue) == ("a", "present", 1)
    assert await held(catalogue) == dict.fromkeys("ab", ("present", 1))


async def test_what_all_have_lost_is_missing(catalogue: CatalogueUnderTest) -> None:
    await write(catalogue, row("a"), row("b"))
    assert await listed(catalogue, "b", 2) == 0
    assert await listed(catalogue, "a", 2) == 1
    assert (await served_from(catalogue))[1] == "missing"
    await write(catalogue, row("b", generation=2))
    assert await served_from(catalogue) == ("b", "present", 1)


async def test_only_the_element_itself_says_that_damage_is_mended(
    catalogue: CatalogueUnderTest,
) -> None:
    await write(catalogue, row("a"))
    await found(catalogue, "a", [FILE], [])
    assert await held(catalogue) == {"a": ("damaged", 1)}
    await write(catalogue, row("a", 2), row("a", 2, generation=2), row("b", 2))
    assert await held(catalogue) == {"a": ("damaged", 2), "b": ("present", 2)}
    await found(catalogue, "a", [], [FILE])
    assert (await held(catalogue))["a"] == ("present", 2)


async def test_a_finding_about_an_unknown_file_changes_nothing(
    catalogue: CatalogueUnderTest,
) -> None:
    await found(catalogue, "a", [FILE], [FILE])
    assert await held(catalogue) == {}


async def test_a_collection_that_wants_two_makes_files_due(catalogue: CatalogueUnderTest) -> None:
    await catalogue.query("INSERT INTO policy.collections (collection, copies) VALUES ('twice', 2)")
    await write(catalogue, row("a"))
    assert await due(catalogue) == {FILE}
    assert await held(catalogue) == {}
    (job,) = await catalogue.query("SELECT kind, state FROM jobs.jobs")
    assert job == {"kind": "copies.keep", "state": "queued"}


async def test_what_was_asked_again_meanwhile_stays_due(catalogue: CatalogueUnderTest) -> None:
    await write(catalogue, row("a"), row("b"))
    async with catalogue.pool.session() as session:
        looked_at = await holders.due(session, 10)
    await write(catalogue, row("a", 2))
    async with catalogue.pool.session() as session:
        await holders.settled(session, looked_at)
    assert await due(catalogue) == {FILE}
    async with catalogue.pool.session() as session:
        await holders.settled(session, await holders.due(session, 10))
    assert await due(catalogue) == set()
