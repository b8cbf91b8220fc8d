"""Which of two rows for one file stays: any order of arrival ends alike."""

import itertools

import pytest
from tests.integration.admin.feed_element import make_record
from tests.integration.admin.following import CatalogueUnderTest

from artstore.admin.repository.catalogue_files import FileRow, connection_of
from artstore.admin.services.catalogue.rows import row_of, write_rows

RECORD = make_record("letter.txt")


def row(
    revision: int, element_id: str = "edit-1", generation: int = 1, **fields: object
) -> FileRow:
    record = RECORD.model_copy(update={"revision": revision})
    return row_of(record, element_id, generation)._replace(**fields)  # type: ignore[arg-type]


async def write(catalogue: CatalogueUnderTest, *rows: FileRow) -> None:
    for each in rows:
        async with catalogue.pool.session() as session:
            await write_rows(await connection_of(session), [each])


async def stored(catalogue: CatalogueUnderTest) -> tuple[str, int, str, int]:
    (found,) = await catalogue.query(
        "SELECT element_id, revision, state, generation FROM catalogue.files"
    )
    return found["element_id"], found["revision"], found["state"], found["generation"]


@pytest.mark.parametrize("order", list(itertools.permutations([1, 2, 3])))
async def test_the_highest_revision_stays(
    catalogue: CatalogueUnderTest, order: tuple[int, ...]
) -> None:
    await write(catalogue, *(row(revision) for revision in order))
    assert (await stored(catalogue))[1] == 3


async def test_a_later_listing_wins_over_a_higher_revision(catalogue: CatalogueUnderTest) -> None:
    await write(catalogue, row(5), row(2, generation=2))
    assert (await stored(catalogue))[1:] == (2, "present", 2)


async def test_a_change_seen_by_an_older_generation_keeps_the_newer_one(
    catalogue: CatalogueUnderTest,
) -> None:
    await write(catalogue, row(1, generation=2), row(2, generation=1))
    assert (await stored(catalogue))[1:] == (2, "present", 2)


@pytest.mark.parametrize("order", list(itertools.permutations(["edit-1", "rw-1"])))
async def test_of_two_elements_with_the_same_file_the_lower_name_stays(
    catalogue: CatalogueUnderTest, order: tuple[str, ...]
) -> None:
    await write(catalogue, *(row(1, element_id) for element_id in order))
    assert (await stored(catalogue))[0] == "edit-1"


async def test_a_copy_elsewhere_replaces_a_missing_file(catalogue: CatalogueUnderTest) -> None:
    await write(catalogue, row(1, state="missing"), row(1, "rw-1"))
    assert await stored(catalogue) == ("rw-1", 1, "present", 1)


async def test_several_revisions_in_one_batch(catalogue: CatalogueUnderTest) -> None:
    async with catalogue.pool.session() as session:
        await write_rows(await connection_of(session), [row(1), row(3), row(2)])
    assert (await stored(catalogue))[1] == 3
