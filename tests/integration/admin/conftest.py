from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.support.admin import Admin, Installation, MakeDatabase
from tests.support.pki import Pki
from tests.support.processes import short_folder
from tests.support.valkey import TestValkey


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
