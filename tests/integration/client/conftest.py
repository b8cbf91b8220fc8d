from collections.abc import AsyncIterator, Iterator
from typing import Any, Protocol

import pytest
from tests.integration.client.fake_artstore import (
    CLIENT_ID,
    CLIENT_SECRET,
    FakeArtStore,
    serving,
)
from tests.support.pki import Pki

from artstore.client import calls
from artstore.client.async_store import AsyncArtStore
from artstore.client.settings import Profile
from artstore.client.store import ArtStore


@pytest.fixture(scope="session")
def running_fake(pki: Pki) -> Iterator[FakeArtStore]:
    fake = FakeArtStore()
    with serving(fake, pki.files("edge")):
        yield fake


@pytest.fixture
def fake(running_fake: FakeArtStore) -> FakeArtStore:
    running_fake.reset()
    return running_fake


@pytest.fixture
def profile(fake: FakeArtStore, pki: Pki) -> Profile:
    return Profile(fake.url, pki.ca_file, CLIENT_ID, CLIENT_SECRET)


@pytest.fixture(autouse=True)
def _quick_retries(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(calls, "DELAY_FIRST_S", 0.001)


class Client(Protocol):
    """Either client, spoken to in the same way."""

    async def __call__(self, method: str, *arguments: Any, **options: Any) -> Any: ...


@pytest.fixture(params=["sync", "async"])
async def client(request: pytest.FixtureRequest, profile: Profile) -> AsyncIterator[Client]:
    """Calls a method of `ArtStore` or of `AsyncArtStore`; lists come back whole."""
    if request.param == "sync":
        with ArtStore.from_profile(profile) as store:

            async def call_sync(method: str, *arguments: Any, **options: Any) -> Any:
                result = getattr(store, method)(*arguments, **options)
                return list(result) if method in ("files", "search") else result

            yield call_sync
    else:
        async with AsyncArtStore.from_profile(profile) as async_store:

            async def call_async(method: str, *arguments: Any, **options: Any) -> Any:
                result = getattr(async_store, method)(*arguments, **options)
                if method in ("files", "search"):
                    return [record async for record in result]
                return await result

            yield call_async
