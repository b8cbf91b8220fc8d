"""Documents are found in Russian and in English, and no text can stop the catalogue."""

import random
import string

import pytest
from tests.integration.admin.feed_element import FeedElement
from tests.integration.admin.following import CatalogueUnderTest
from tests.integration.admin.test_following import caught_up

from artstore.admin.repository.catalogue_files import connection_of
from artstore.admin.services.catalogue.rows import SEARCH_BYTES_MAX, row_of, write_rows
from artstore.core.catalogue import search_words

MATCH = "SELECT original_filename FROM catalogue.files WHERE search @@ plainto_tsquery(%s, %s)"


@pytest.mark.parametrize(
    ("name", "configuration", "query"),
    [
        ("корова.pdf", "russian", "коровы"),
        ("Отчёт о поставках.docx", "russian", "поставка"),
        ("Отчёт.docx", "russian", "отчет"),
        ("documents of the board.pdf", "english", "document"),
        ("Invoice_2026-11.pdf", "simple", "invoice"),
        ("Invoice_2026-11.pdf", "simple", "2026"),
        ("mail@example.org.eml", "simple", "example"),
    ],
)
async def test_words_are_found(
    catalogue: CatalogueUnderTest, element: FeedElement, name: str, configuration: str, query: str
) -> None:
    element.create(name)
    element.create("nothing to see")
    async with catalogue.following():
        await caught_up(catalogue, element)
    found = await catalogue.query(MATCH, configuration, search_words(query))
    assert [row["original_filename"] for row in found] == [name]


async def test_tags_and_metadata_are_found(
    catalogue: CatalogueUnderTest, element: FeedElement
) -> None:
    element.create("a", tags=["договоры"], metadata={"author": {"name": ["Иванова", 4711]}})
    async with catalogue.following():
        await caught_up(catalogue, element)
    for word in ("договор", "Иванова", "4711"):
        assert await catalogue.query(MATCH, "russian", word)
    assert not await catalogue.query(MATCH, "russian", "author")


def _many_words(chance: random.Random, length: int) -> str:
    letters = string.ascii_lowercase + "абвгдежзиклмнопрстуфхцчшщэюя" + string.digits
    return " ".join("".join(chance.choices(letters, k=length)) for _ in range(900_000 // length))


@pytest.mark.parametrize("length", [2, 3, 5, 9, 40, 2500])
async def test_the_longest_text_still_fits(
    catalogue: CatalogueUnderTest, element: FeedElement, length: int
) -> None:
    """PostgreSQL's limit of a search vector is met with the worst words we can think of."""
    text = _many_words(random.Random(length), length)
    record = element.create("long.txt", metadata={"text": text})
    row = row_of(record, "edit-1", 1)
    assert len(row.search_text.encode()) <= SEARCH_BYTES_MAX
    async with catalogue.pool.session() as session:
        await write_rows(await connection_of(session), [row])
    (stored,) = await catalogue.query("SELECT search_text FROM catalogue.files")
    assert stored["search_text"] == row.search_text


async def test_a_row_that_postgresql_refuses_does_not_keep_the_others_out(
    catalogue: CatalogueUnderTest, element: FeedElement
) -> None:
    records = [element.create(f"{number}.txt", tags=["t"]) for number in range(20)]
    rows = [row_of(record, "edit-1", 1) for record in records]
    rows[13] = rows[13]._replace(search_text="NUL \0 in a text")
    async with catalogue.pool.session() as session:
        await write_rows(await connection_of(session), rows)
    stored = await catalogue.query("SELECT tags FROM catalogue.files ORDER BY file_id")
    assert [row["tags"] for row in stored] == [["t"]] * 13 + [[]] + [["t"]] * 6
