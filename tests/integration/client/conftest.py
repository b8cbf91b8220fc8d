import io
import json
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import pytest
from tests.integration.client.fake_artstore import (
    CLIENT_ID,
    CLIENT_SECRET,
    FakeArtStore,
    serving,
)
from tests.support.pki import Pki

from artstore.cli.main import main
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


@pytest.fixture
def home(fake: FakeArtStore, pki: Pki, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A state directory with a profile, as `artstore up` leaves one."""
    folder = tmp_path_factory.mktemp("home")
    (folder / "secret").write_text(CLIENT_SECRET)
    (folder / "secret").chmod(0o600)
    profile = {
        "edge": fake.url,
        "ca_file": str(pki.ca_file),
        "client_id": CLIENT_ID,
        "client_secret_file": "secret",
    }
    (folder / "profile.json").write_text(json.dumps(profile))
    return folder


@dataclass
class Ran:
    code: int
    out: str
    err: str

    @property
    def objects(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.out.splitlines()]


class Artstore(Protocol):
    def __call__(self, *arguments: str | Path) -> Ran: ...


@pytest.fixture
def artstore(
    home: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> Artstore:
    """Runs the command in this process, with no terminal."""
    monkeypatch.setenv("ARTSTORE_HOME", str(home))
    monkeypatch.setattr("sys.stdin", io.StringIO())

    def run(*arguments: str | Path) -> Ran:
        monkeypatch.setattr("sys.argv", ["artstore", *map(str, arguments)])
        capfd.readouterr()
        try:
            main()
        except SystemExit as end:
            code = end.code
        else:
            code = 0
        output = capfd.readouterr()
        assert isinstance(code, int)
        return Ran(code, output.out, output.err)

    return run
