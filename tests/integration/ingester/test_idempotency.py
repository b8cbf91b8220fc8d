"""The same upload sent again: through real ingesters to a real element."""

import asyncio
import os
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from tests.integration.ingester.conftest import Site
from tests.support.processes import eventually

from artstore.core.model.ids import FileIdSource

SMALL, LARGE = b"x" * 100, os.urandom(200_000)


def new_key(age: timedelta = timedelta()) -> str:
    # A source of its own: one never goes back in time.
    return FileIdSource().new(datetime.now(UTC) - age, os.urandom(10))


async def send(site: Site, key: str, content: Any, **query: str) -> dict[str, Any]:
    return await site.post(content, "default", headers={"Idempotency-Key": f'"{key}"'}, **query)


def without_receipt(answer: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in answer.items() if name != "receipt"}


@pytest.mark.parametrize("content", [SMALL, LARGE])
async def test_the_same_again_is_the_same_answer_from_any_ingester(
    site: Site,
    lonely: Site,
    content: bytes,
) -> None:
    key = new_key()
    before = site.stored()
    first = await send(site, key, content)
    assert first["status"] == 201, first
    for again in (site, lonely):
        assert without_receipt(await send(again, key, content)) == without_receipt(first)
    assert site.stored() - before == {f"{first['file_id']}.attr.json"}


@pytest.mark.parametrize("content", [SMALL, LARGE])
async def test_another_upload_with_the_same_key_is_refused(
    site: Site,
    content: bytes,
) -> None:
    key = new_key()
    await send(site, key, content)
    for other in (content + b"y", content[:-1] + b"z"):
        answer = await send(site, key, other)
        assert (answer["status"], answer["code"]) == (422, "idempotency_key_reused")
    for said in ({"tag": "other"}, {"retention": "P1D"}):
        answer = await send(site, key, content, **said)
        assert (answer["status"], answer["code"]) == (422, "idempotency_key_reused")


async def test_two_at_once_are_stored_once(site: Site) -> None:
    key, before, sent = new_key(), site.stored(), asyncio.Event()

    async def slowly() -> Any:
        yield LARGE
        await sent.wait()
        yield LARGE

    def arriving() -> set[str]:
        return {path.name for path in site.root.rglob("*") if path.is_file()}

    idle = arriving()
    first = asyncio.create_task(send(site, key, slowly()))
    await eventually(lambda: bool(arriving() - idle))
    second = await send(site, key, LARGE * 2)
    assert (second["status"], second["code"]) == (409, "upload_under_way")
    sent.set()
    answer = await first
    assert answer["status"] == 201
    assert without_receipt(await send(site, key, LARGE * 2)) == without_receipt(answer)
    assert len(site.stored() - before) == 1


async def test_keys_of_others_and_what_is_no_key(site: Site) -> None:
    for wrong in ("", "abc", "8e03978e-40d5-43e8-bc93-6894a57f9324"):
        answer = await send(site, wrong, SMALL)
        assert (answer["status"], answer["field"]) == (422, "idempotency-key")
    for age in (timedelta(days=2), timedelta(hours=-1)):
        assert (await send(site, new_key(age), SMALL))["status"] == 422

    key = new_key()
    first = await send(site, key, SMALL)
    site.subject = "account-2"
    try:
        second = await send(site, key, SMALL)
    finally:
        site.subject = "account-1"
    assert second["status"] == 201
    assert second["file_id"] != first["file_id"]
