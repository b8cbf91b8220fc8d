"""Which of two rows for one file stays: any order of arrival ends alike."""

import itertools

import pytest
from tests.integration.admin.feed_element import make_record
from tests.integration.admin.following import CatalogueUnderTest

from artstore.admin.repository.catalogue_files import FileRow, connection_of
from artstore.admin.services.catalogue.rows import row_of, write_rows, write_uploads
from artstore.admin.services.catalogue.uploads import Upload, plain_upload
from artstore.core.model.file import FileRecord

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


def upload_of(record: FileRecord) -> Upload:
    """As a feed tells of it."""
    told = plain_upload(
        b'{"seq":1,"type":"created","at":"2026-11-26T07:30:16.513318Z","trace_id":null,'
        b'"origin":{"token_id":null,"address":null,"services":[]},"record":%b}'
        % record.to_json().rstrip()
    )
    assert told is not None
    return told


async def test_of_uploads_that_are_known_in_part_each_is_there_once(
    catalogue: CatalogueUnderTest,
) -> None:
    others = [make_record(f"{number}.txt") for number in range(5)]
    await write(catalogue, row(2), row_of(others[3], "edit-1", 1))
    uploads = [upload_of(record) for record in (*others, RECORD, others[0])]
    async with catalogue.pool.session() as session:
        await write_uploads(await connection_of(session), uploads, "edit-1", 1)
    found = await catalogue.query("SELECT file_id, revision FROM catalogue.files")
    revisions = {str(each["file_id"]): each["revision"] for each in found}
    assert len(found) == 6
    assert revisions == {RECORD.file_id: 2, **{each.file_id: 1 for each in others}}


async def test_an_upload_that_postgresql_refuses_does_not_keep_the_others_out(
    catalogue: CatalogueUnderTest,
) -> None:
    uploads = [upload_of(make_record(f"{number}.txt")) for number in range(5)]
    uploads[2] = uploads[2]._replace(metadata='{"a":"NUL \\u0000"}')
    async with catalogue.pool.session() as session:
        await write_uploads(await connection_of(session), uploads, "edit-1", 1)
    assert len(await catalogue.states()) == 5
