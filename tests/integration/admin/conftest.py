from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from uuid import uuid4

import psycopg
import pytest
from tests.integration.admin.feed_element import FeedElement
from tests.integration.admin.following import CatalogueUnderTest, catalogue_in
from tests.support.admin import Admin, Installation, MakeDatabase
from tests.support.pki import Pki
from tests.support.postgres import TestDatabase
from tests.support.processes import short_folder
from tests.support.valkey import TestValkey

from artstore.admin.schema import migrate
from artstore.core.secrets.chain import fixed_login


@pytest.fixture(scope="session")
def installation(
    make_database: MakeDatabase, valkey_server: TestValkey, pki: Pki
) -> Iterator[Installation]:
    with short_folder() as folder:
        made = Installation(Path(folder), make_database("admin"), valkey_server, pki)
        made.write()
        done = made.prepare()
        assert done.returncode == 0, done.stderr
        yield made


@pytest.fixture(scope="session")
def admin(installation: Installation) -> Iterator[Admin]:
    with installation.serve() as running:
        yield running


@pytest.fixture(scope="session")
def catalogue_database(make_database: MakeDatabase) -> TestDatabase:
    database = make_database("catalogue")
    migrate(database.admin_url, fixed_login(database.admin_password))
    return database


@pytest.fixture
async def catalogue(
    catalogue_database: TestDatabase, pki: Pki
) -> AsyncIterator[CatalogueUnderTest]:
    """Empty."""
    async with catalogue_in(catalogue_database, pki) as under_test:
        await under_test.query("TRUNCATE catalogue.files, catalogue.elements")
        yield under_test


@pytest.fixture
async def element(pki: Pki, catalogue: CatalogueUnderTest) -> AsyncIterator[FeedElement]:
    """Registered as `edit-1`."""
    async with FeedElement(pki, "edit-1") as fake:
        await catalogue.register(fake.entry)
        yield fake


@pytest.fixture
async def fake(admin: Admin, pki: Pki) -> AsyncIterator[FeedElement]:
    """Registered with the running admin module."""
    async with FeedElement(pki, f"fake-{uuid4().hex[:8]}") as element:
        with admin.as_account() as client:
            body = {"element_id": element.element_id, "url": element.url, "priority": 5}
            made = client.post("/api/v1/storage-elements", json=body)
        assert made.status_code == 201, made.text
        assert made.json()["state"] == "new"
        yield element
    with psycopg.connect(admin.installation.database.url) as connection:
        for table in ("elements", "files"):
            connection.execute(
                f"DELETE FROM catalogue.{table} WHERE element_id = %s", (element.element_id,)
            )
