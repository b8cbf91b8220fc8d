"""Records, lists and other routes, through both clients."""

import pytest
from tests.integration.client.conftest import Client
from tests.integration.client.fake_artstore import FakeArtStore, Fault

from artstore.client.records import PAGE_ITEMS_MAX
from artstore.core.errors import InternalError, RetentionForbids, UnknownFile


async def test_a_record_is_read(client: Client, fake: FakeArtStore) -> None:
    file_id = fake.keep(b"x", "письмо.txt", tags=["a"])

    record = await client("info", file_id)

    assert record.original_filename == "письмо.txt"
    assert record.tags == ("a",)


async def test_a_list_crosses_pages(client: Client, fake: FakeArtStore) -> None:
    ids = [fake.keep(b"x") for _ in range(2 * PAGE_ITEMS_MAX + 1)]

    records = await client("files")

    assert [record.file_id for record in records] == ids[::-1]
    assert len(fake.requests("GET", "/files")) == 3


@pytest.mark.parametrize("limit", [0, 1, PAGE_ITEMS_MAX, PAGE_ITEMS_MAX + 1])
async def test_a_list_ends_at_its_limit(client: Client, fake: FakeArtStore, limit: int) -> None:
    for _ in range(PAGE_ITEMS_MAX + 5):
        fake.keep(b"x")

    assert len(await client("files", limit=limit)) == limit


async def test_an_empty_list_is_empty(client: Client) -> None:
    assert await client("files", collection="letters") == []


async def test_a_search_sends_every_condition(client: Client, fake: FakeArtStore) -> None:
    await client(
        "search", "договор & co", tags=["a", "b"], metadata={"k": "v:w"}, collection="c", limit=7
    )

    assert fake.requests("GET", "/search")[0].query == {
        "q": ["договор & co"],
        "tag": ["a", "b"],
        "meta": ["k:v:w"],
        "collection": ["c"],
        "limit": ["7"],
    }


async def test_a_record_is_changed(client: Client, fake: FakeArtStore) -> None:
    file_id = fake.keep(b"x", tags=["old"], metadata={"k": 1})

    record = await client("update", file_id, tags=["new"])

    assert record.tags == ("new",)
    assert record.metadata == {"k": 1}
    assert record.revision == 2


async def test_deleting_gives_the_tombstone(client: Client, fake: FakeArtStore) -> None:
    file_id = fake.keep(b"x")

    assert (await client("delete", file_id)).deleted is not None


async def test_a_forbidden_deletion_says_why(client: Client, fake: FakeArtStore) -> None:
    file_id = fake.keep(b"x")
    until = "2036-11-22T00:00:00Z"
    fake.faults = [
        Fault("DELETE", "/files", 409, "retention_forbids", fields={"retain_until": until})
    ]

    with pytest.raises(RetentionForbids) as caught:
        await client("delete", file_id)
    assert caught.value.fields["retain_until"] == until


async def test_an_unknown_file_is_named(client: Client) -> None:
    with pytest.raises(UnknownFile):
        await client("info", "0190a0f0-0000-7000-8000-000000000000")


async def test_any_route_can_be_called(client: Client) -> None:
    answer = await client("call", "POST", "/api/v1/echo", parameters={"a": "b c"}, body={"n": 1})

    assert answer == {"query": {"a": ["b c"]}, "body": {"n": 1}}


async def test_an_answer_of_another_kind_is_no_crash(client: Client, fake: FakeArtStore) -> None:
    file_id = fake.keep(b"x", size=-1)

    with pytest.raises(InternalError, match="FileRecord"):
        await client("info", file_id)


async def test_every_request_carries_a_trace(client: Client, fake: FakeArtStore) -> None:
    await client("files")

    traces = [seen.headers["traceparent"] for seen in fake.seen]
    assert len(set(traces)) == len(traces) == 2
