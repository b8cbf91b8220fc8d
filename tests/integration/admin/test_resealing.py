"""Goal: another key-encryption key takes over while people work, and the old one opens nothing.

Method: a real admin module with something in every sealed column, its secret file changed as a
rotation changes it.
"""

import secrets
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import httpx2
import psycopg
import pytest
from tests.support.admin import Admin, Installation, MakeDatabase
from tests.support.people import Person
from tests.support.pki import Pki
from tests.support.processes import short_folder, wait_until
from tests.support.valkey import TestValkey

from artstore.admin.repository.sealed import PAGE_ROWS
from artstore.admin.services.identity.resealing import SEALED
from artstore.admin.services.identity.sealing import Seal
from artstore.core.private_files import write_private

PATH = "/api/v1/key-encryption"


@pytest.fixture(scope="module")
def installation(
    make_database: MakeDatabase, valkey_server: TestValkey, pki: Pki
) -> Iterator[Installation]:
    with short_folder() as folder:
        made = Installation(Path(folder), make_database("resealing"), valkey_server, pki)
        made.write()
        done = made.prepare()
        assert done.returncode == 0, done.stderr
        yield made


@pytest.fixture(scope="module")
def admin(installation: Installation) -> Iterator[Admin]:
    with installation.serve() as running:
        yield running


def key_file(admin: Admin) -> Path:
    return admin.installation.folder / "key-encryption-key"


def tell(admin: Admin, *keys: str) -> None:
    """And wait until the module has looked."""
    write_private(key_file(admin), "\n".join(keys))
    ids = Seal(lambda: "\n".join(keys)).key_ids

    def knows() -> bool:
        return bool(reseal(admin, "GET")["keys"] == ids)

    wait_until(knows, "the module reading its secret")


def reseal(admin: Admin, method: str = "POST") -> dict[str, object]:
    with admin.as_account() as client:
        answer = client.request(method, PATH if method == "GET" else f"{PATH}/reseal")
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


def under(admin: Admin, key: str) -> dict[str, tuple[int, int]]:
    """Of each sealed column: how many rows this key opens, of how many."""
    seal, found = Seal(lambda: key), {}
    with psycopg.connect(admin.installation.database.url) as connection:
        for column, context in SEALED:
            table = column.sealed.table
            rows = connection.execute(
                f"SELECT {column.identity.name}, {column.sealed.name}"
                f" FROM {table.schema}.{table.name} WHERE length({column.sealed.name}) > 0"
            ).fetchall()
            opened = [seal.is_by_first(bytes(held), context(name)) for name, held in rows]
            found[table.name] = (sum(opened), len(rows))
    return found


def many_sessions(admin: Admin, person: Person, key: str) -> None:
    """More than are looked at in one go."""
    seal, column = Seal(lambda: key), SEALED[1]
    names = [uuid4() for _ in range(PAGE_ROWS + 1)]
    with psycopg.connect(admin.installation.database.url) as connection:
        connection.cursor().executemany(
            "INSERT INTO identity.sessions (session_id, user_id, refresh_key, refresh_number,"
            " methods, authenticated_at, created_at, last_used_at, ends_at)"
            " VALUES (%s, %s, %s, 1, '{pwd}', now(), now(), now(), now())",
            [(name, person.user_id, seal.seal(b"x", column[1](name))) for name in names],
        )


def test_everything_is_sealed_anew_and_people_go_on(admin: Admin) -> None:
    old, new = key_file(admin).read_text().strip(), secrets.token_urlsafe(32)
    person = Person.ready(admin)
    signed_in = person.signed_in()
    many_sessions(admin, person, old)
    wait_until(lambda: under(admin, old)["log_keys"][1] > 0, "the audit log having its keys")
    assert all(opened == rows > 0 for opened, rows in under(admin, old).values())

    tell(admin, old, new)
    tell(admin, new, old)
    again = person.signed_in()
    first = reseal(admin)

    assert first["former_needed_s"] == 0
    assert first["unreadable"] == 0
    assert isinstance(first["resealed"], int)
    assert first["resealed"] > PAGE_ROWS
    assert reseal(admin)["resealed"] == 0
    assert all(opened == rows > 0 for opened, rows in under(admin, new).values())
    assert all(opened == 0 for opened, _ in under(admin, old).values())
    tell(admin, new)
    for each in (signed_in, again):
        assert refreshed(admin, each["refresh_token"]).status_code == 200


def refreshed(admin: Admin, refresh_token: str) -> httpx2.Response:
    with admin.client() as client:
        return client.post("/api/v1/admin-auth/refresh", json={"refresh_token": refresh_token})


def test_what_nobody_can_open_is_counted_and_left(admin: Admin) -> None:
    lost = secrets.token_urlsafe(32)
    strange = Seal(lambda: lost).seal(b"{}", "audit log key gone")
    with psycopg.connect(admin.installation.database.url) as connection:
        connection.execute(
            "INSERT INTO audit.log_keys (verifier_key, signing_key, created_at, retired_at)"
            " VALUES ('gone', %s, now(), now())",
            (strange,),
        )
    assert reseal(admin)["unreadable"] == 1


def test_a_module_starts_with_the_new_key_alone(installation: Installation) -> None:
    with installation.serve("admin-2") as second:
        assert second.token()
