"""The whole system, through its edge, as a user's program sees it."""

import secrets
import ssl
from collections.abc import Callable, Iterator

import httpx2
import pytest
from tests.support.stack import RunningStack

from artstore.client import ArtStore


@pytest.fixture(scope="session")
def store(stack: RunningStack) -> Iterator[ArtStore]:
    with ArtStore.from_home(stack.home) as store:
        yield store


@pytest.fixture(scope="session")
def http(stack: RunningStack, store: ArtStore) -> Iterator[httpx2.Client]:
    """A plain client with a good token: what curl would send."""
    with httpx2.Client(
        base_url=stack.edge_url,
        verify=ssl.create_default_context(cafile=stack.ca_file),
        headers={"Authorization": f"Bearer {store.token()}"},
        timeout=60,
    ) as client:
        yield client


@pytest.fixture(scope="session")
def stranger(stack: RunningStack) -> Iterator[httpx2.Client]:
    with httpx2.Client(
        base_url=stack.edge_url, verify=ssl.create_default_context(cafile=stack.ca_file), timeout=60
    ) as client:
        yield client


@pytest.fixture(scope="session")
def make_token(http: httpx2.Client, stranger: httpx2.Client) -> Callable[[str], str]:
    """An access token of a new service account with the given role."""

    def make(role: str) -> str:
        client_id = f"test-{role}-{secrets.token_hex(4)}"
        created = http.post("/api/v1/service-accounts", json={"client_id": client_id, "role": role})
        assert created.status_code == 201, created.text
        answer = stranger.post(
            "/api/v1/auth/token",
            data={
                "grant_type": "client_credentials",
                "client_id": client_id,
                "client_secret": created.json()["client_secret"],
            },
        )
        assert answer.status_code == 200, answer.text
        token: str = answer.json()["access_token"]
        return token

    return make
