from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.support.admin import Installation, MakeDatabase
from tests.support.bent_provider import BentProvider, bent_provider
from tests.support.pki import Pki
from tests.support.processes import short_folder
from tests.support.valkey import TestValkey


@pytest.fixture(scope="session")
def identity_installation(
    make_database: MakeDatabase, valkey_server: TestValkey, pki: Pki
) -> Iterator[Installation]:
    """Prepared; each test that needs a running module starts one with its own settings."""
    with short_folder() as folder:
        made = Installation(Path(folder), make_database("identity"), valkey_server, pki)
        made.write()
        done = made.prepare()
        assert done.returncode == 0, done.stderr
        yield made


@pytest.fixture(scope="session")
def bent(pki: Pki) -> Iterator[BentProvider]:
    with bent_provider(pki.files("edge")) as provider:
        yield provider
