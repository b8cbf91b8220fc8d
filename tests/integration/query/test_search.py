"""Search and lists on a real PostgreSQL: what is found, in which order, page by page."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from tests.integration.query.conftest import World
from tests.support.fake_element import record_of
from tests.support.fake_shelf import UPLOADER

from artstore.core.model.file import FileDraft, FileRecord, Scan

PENDING = Scan(engine="ClamAV", verdict="unscanned", at=datetime.now(UTC), reason="scanner_away")


def names(page: dict[str, Any]) -> list[str]:
    assert page["http_status"] == 200, page
    return [item["original_filename"] for item in page["items"]]


@pytest.fixture
def library(world: World) -> World:
    for name, fields in {
        "report_2024.pdf": {"tags": ("finance",), "content_type": "application/pdf"},
        "Годовой-отчёт 2023.docx": {"tags": ("finance", "годовой"), "collection": "reports"},
        "Протокол совещания.txt": {"metadata": {"автор": "Иванова", "year": 2024}},
        "meeting minutes.txt": {"metadata": {"author": "Smith", "year": "2024", "final": True}},
        "IMG_0042.JPG": {"content_type": "image/jpeg", "scan": PENDING},
        "nul\0name 100%.bin": {"tags": ("nul\0tag",)},
    }.items():
        world.store(b"x" * len(name), original_filename=name, **fields)
    return world


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("report", ["report_2024.pdf"]),
        ("reports", ["report_2024.pdf"]),
        ("report_2024.pdf", ["report_2024.pdf"]),
        ("2024", ["report_2024.pdf", "meeting minutes.txt"]),
        ("отчёты", ["Годовой-отчёт 2023.docx"]),
        ("отчет", ["Годовой-отчёт 2023.docx"]),
        ("отчёт-2023", ["Годовой-отчёт 2023.docx"]),
        ("совещание", ["Протокол совещания.txt"]),
        ("совещ", ["Протокол совещания.txt"]),
        ("ивановой", ["Протокол совещания.txt"]),
        ("meetings of the minute", ["meeting minutes.txt"]),
        ("minu", ["meeting minutes.txt"]),
        ('"meeting minutes"', ["meeting minutes.txt"]),
        ('"minutes meeting"', []),
        # Last word and first: the index holds the text in one language behind the other.
        ('"годовой годовой"', []),
        ('"годовой отчет 2023 docx"', ["Годовой-отчёт 2023.docx"]),
        ('отчет -"годовой годовой"', ["Годовой-отчёт 2023.docx"]),
        ('отчет -"годовые отчеты"', []),
        ('"finance report"', []),
        ('report -"finance report"', ["report_2024.pdf"]),
        ("txt -meeting", ["Протокол совещания.txt"]),
        ('txt -"meeting minutes"', ["Протокол совещания.txt"]),
        ("finance", ["report_2024.pdf", "Годовой-отчёт 2023.docx"]),
        ("smith", ["meeting minutes.txt"]),
        ("0042", ["IMG_0042.JPG"]),
        ("img", ["IMG_0042.JPG"]),
        ("mg_00", ["IMG_0042.JPG"]),  # no word begins so: a part of the name
        ("100%", ["nul\0name 100%.bin"]),
        ("%", []),
        ("mg%00", []),
        ("e m", []),  # nothing that an index of names could look for
        ("***", []),
        ("no such thing", []),
        ("or & | ! ( ) : * <-> \\ ' \"", []),
        ("report:* | minutes", []),
        ("'; DROP TABLE files; --", []),
        ("a\0b", []),
    ],
)
async def test_words_find_names_tags_and_metadata(
    library: World, query: str, found: list[str]
) -> None:
    page = await library.search(("q", query))

    assert sorted(names(page)) == sorted(found)


@pytest.mark.parametrize(
    ("params", "found"),
    [
        ([("tag", "finance")], ["report_2024.pdf", "Годовой-отчёт 2023.docx"]),
        ([("tag", "finance"), ("tag", "годовой")], ["Годовой-отчёт 2023.docx"]),
        ([("tag", "Finance")], []),
        ([("tag", "nul\0tag")], ["nul\0name 100%.bin"]),
        ([("collection", "reports")], ["Годовой-отчёт 2023.docx"]),
        ([("content_type", "application/pdf")], ["report_2024.pdf"]),
        ([("content_type", "image/*")], ["IMG_0042.JPG"]),
        ([("content_type", "i_age/*")], []),
        ([("scan", "pending")], ["IMG_0042.JPG"]),
        ([("scan", "infected")], []),
        ([("meta", "author:Smith")], ["meeting minutes.txt"]),
        ([("meta", "автор:Иванова")], ["Протокол совещания.txt"]),
        ([("meta", "year:2024")], ["Протокол совещания.txt", "meeting minutes.txt"]),
        ([("meta", "year:2024"), ("meta", "final:true")], ["meeting minutes.txt"]),
        ([("meta", "year:2e999")], []),
        ([("meta", "nul\0:\0")], []),
        ([("size_min", "23")], ["Годовой-отчёт 2023.docx"]),
        ([("size_max", "12")], ["IMG_0042.JPG"]),
        ([("q", "2024"), ("tag", "finance")], ["report_2024.pdf"]),
        ([("q", "mg_00"), ("tag", "finance")], []),
        ([("sha256", "0" * 64)], []),
    ],
)
async def test_conditions(library: World, params: list[tuple[str, str]], found: list[str]) -> None:
    assert sorted(names(await library.search(*params))) == sorted(found)


async def test_a_file_is_found_by_its_digest(library: World) -> None:
    record = library.store(b"do you hold this file?", original_filename="a")

    assert names(await library.search(("sha256", record.sha256))) == ["a"]


async def test_metadata_keep_their_types_in_a_body(library: World) -> None:
    async def post(**body: Any) -> list[str]:
        async with library.request("POST", "/api/v1/search", json=body) as response:
            return names(await response.json() | {"http_status": response.status})

    assert await post(metadata={"year": 2024}) == ["Протокол совещания.txt"]
    assert await post(metadata={"year": "2024"}) == ["meeting minutes.txt"]
    assert await post(q="report", tag=["finance"]) == ["report_2024.pdf"]
    assert await post(metadata={"a": "\0"}) == []


async def test_times_bound_the_upload(world: World) -> None:
    day = datetime(2024, 5, 1, tzinfo=UTC)
    for hours in (-1, 0, 23, 24):
        record = world.shelf.put(world.new_id(), b"x", original_filename=str(hours))
        moved = record.model_copy(update={"uploaded_at": day + timedelta(hours=hours)})
        world.know(moved)

    one_day = await world.search(
        ("uploaded_after", "2024-05-01"), ("uploaded_before", "2024-05-02T00:00:00Z")
    )
    shifted = await world.search(("uploaded_after", "2024-05-02T03:00:00+03:00"))

    assert names(one_day) == ["23", "0"]
    assert names(shifted) == ["24"]


async def test_only_present_files_are_found(world: World) -> None:
    record = world.store(b"x", original_filename="letter")
    world.store(b"x", original_filename="letter lost", state="missing")
    world.store(b"x", original_filename="letter deleted", state="deleted")

    assert [i["file_id"] for i in (await world.search(("q", "letter")))["items"]] == [
        record.file_id
    ]
    assert len((await world.search(path="files"))["items"]) == 1


async def test_items_are_whole_records(world: World) -> None:
    record = world.store(b"x", tags=("a",), metadata={"k": [1, {"x": None}]})

    (item,) = (await world.search(("q", "letter")))["items"]

    assert FileRecord.model_validate(item) == record


@pytest.mark.parametrize(
    ("path", "params"),
    [
        ("search", [("q", "paper")]),
        ("search", [("q", "aper_")]),  # a part of the name
        ("search", []),
        ("search", [("tag", "t")]),
        ("files", []),
        ("files", [("collection", "default")]),
    ],
)
async def test_pages_give_every_file_once_the_newest_first(
    world: World, path: str, params: list[tuple[str, str]]
) -> None:
    stored = [
        world.store(b"x", original_filename=f"paper_{number}", tags=("t",)).file_id
        for number in range(23)
    ]
    found: list[str] = []
    cursor: str | None = None
    while True:
        more = [("cursor", cursor)] if cursor else []
        page = await world.search(*params, *more, ("limit", "10"), path=path)
        found += [item["file_id"] for item in page["items"]]
        cursor = page["next_cursor"]
        if cursor is None:
            break
        # What comes in meanwhile must not shift the pages.
        world.store(b"x", original_filename="paper_0 late", tags=("t",))

    assert found == stored[::-1]


@pytest.mark.parametrize("query", [(), ("q", "e"), ("q", "e m"), ("q", "%%%%")])
async def test_a_made_up_cursor_does_not_have_every_name_read(
    library: World, query: tuple[str, str] | tuple[()]
) -> None:
    cursor = ("cursor", "nffffffff-ffff-7fff-bfff-ffffffffffff")
    assert names(await library.search(cursor, *([query] if query else []))) == []


async def test_a_word_that_most_files_have_gives_the_newest(world: World) -> None:
    """More matches than are sorted: the answer comes from the walk by date."""
    records = [numbered(world, number) for number in range(5200)]
    world.know(*records)

    page = await world.search(("q", "common"), ("limit", "3"))
    rare = await world.search(("q", '"number 17"'))

    assert names(page) == ["common number 5199", "common number 5198", "common number 5197"]
    assert names(rare) == ["common number 17"]


def numbered(world: World, number: int) -> FileRecord:
    draft = FileDraft(original_filename=f"common number {number}", uploaded_by=UPLOADER)
    return record_of(draft, world.new_id(), "0" * 64, 1)


@pytest.mark.parametrize(
    ("params", "field"),
    [
        ([("limit", "0")], "limit"),
        ([("limit", "1001")], "limit"),
        ([("limit", "ten")], "limit"),
        ([("cursor", "x")], "cursor"),
        ([("cursor", "w" + "0" * 36)], "cursor"),
        ([("sha256", "ABC")], "sha256"),
        ([("collection", "../x")], "collection"),
        ([("meta", "novalue")], "meta.0"),
        ([("meta", ":x")], "meta.0"),
        ([("tag", "")], "tag.0"),
        ([("size_min", "-1")], "size_min"),
        ([("uploaded_after", "yesterday")], "uploaded_after"),
        ([("uploaded_after", "2024-05-01T00:00:00")], "uploaded_after"),
        ([("uploaded_after", "0001-01-01T00:00:00+14:00")], "uploaded_after"),
        ([("q", "a" * 1001)], "q"),
        ([("unknown", "x")], "unknown"),
    ],
)
async def test_malformed_parameters_name_their_field(
    world: World, params: list[tuple[str, str]], field: str
) -> None:
    page = await world.search(*params)

    assert (page["http_status"], page["code"], page["field"]) == (422, "invalid_request", field)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[]",
        b"{",
        b'{"limit": "many"}',
        b'{"q": "\\ud800"}',
        b'{"tag": ["\\ud800"]}',
        b'{"metadata": {"a": 1e999}}',
        b'{"metadata": {"a": NaN}}',
        b'{"metadata": {"a": "\\ud800"}}',
        b'{"metadata": {"a":' + b"[" * 100 + b"]" * 100 + b"}}",
        b'{"metadata": {"a":' + b"[" * 900 + b"]" * 900 + b"}}",
        b'{"metadata": {"a":' + b"[" * 90_000 + b"]" * 90_000 + b"}}",
        b'{"limit": ' + b"9" * 5000 + b"}",
        b"\xff\xfe",
    ],
)
async def test_a_malformed_body_is_refused(world: World, body: bytes) -> None:
    async with world.request(
        "POST", "/api/v1/search", {"Content-Type": "application/json"}, data=body
    ) as response:
        problem = json.loads(await response.read())

    assert (response.status, problem["code"]) == (422, "invalid_request")


async def test_searching_needs_a_token_with_its_scope(world: World) -> None:
    headers = {"Authorization": f"Bearer {world.issuer.token(['files:write'])}"}

    assert (await world.get("/api/v1/search", {"Authorization": "x"}))[0] == 401
    assert (await world.get("/api/v1/search", headers))[0] == 403
    assert (await world.get("/api/v1/files", headers))[0] == 403


async def test_searches_are_measured(world: World) -> None:
    await world.search(("q", "x"))

    _, body, _ = await world.get("/metrics")
    assert b"artstore_search_duration_seconds_count" in body


async def test_readiness_names_what_it_needs(world: World) -> None:
    status, body, _ = await world.get("/health/ready")

    assert status == 200
    assert json.loads(body)["checks"] == {"database": "ok", "signing_keys": "ok"}
