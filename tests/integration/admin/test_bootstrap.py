"""`prepare` makes what is missing, as often as it is run, and overwrites nobody's choice."""

import json
import re
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from tests.support.admin import Installation, MakeDatabase
from tests.support.pki import Pki
from tests.support.processes import short_folder
from tests.support.valkey import TestValkey

from artstore.core.private_files import write_private

ELEMENTS = [
    {"element_id": "edit-1", "url": "https://127.0.0.1:8010", "priority": 100},
    {"element_id": "rw-1", "url": "https://127.0.0.1:8011", "priority": 100},
]
FACTS = {
    "users": "SELECT to_jsonb(u) FROM identity.users u",
    "accounts": "SELECT to_jsonb(a) FROM identity.service_accounts a ORDER BY client_id",
    "elements": "SELECT to_jsonb(e) FROM catalogue.elements e ORDER BY element_id",
}


@pytest.fixture
def fresh(
    make_database: MakeDatabase, valkey_server: TestValkey, pki: Pki
) -> Iterator[Installation]:
    with short_folder() as folder:
        made = Installation(Path(folder), make_database("bootstrap"), valkey_server, pki)
        made.write(ELEMENTS)
        with psycopg.connect(made.database.url, autocommit=True) as connection:
            schemas = "identity, catalogue, audit, policy, jobs"
            connection.execute(f"DROP SCHEMA IF EXISTS {schemas} CASCADE")
        yield made


def facts(made: Installation) -> dict[str, list[object]]:
    with psycopg.connect(made.database.url) as connection:
        return {
            name: [row[0] for row in connection.execute(statement)]
            for name, statement in FACTS.items()
        }


def prepared(made: Installation) -> dict[str, list[object]]:
    done = made.prepare()
    assert done.returncode == 0, done.stderr
    return facts(made)


def test_the_second_time_changes_nothing(fresh: Installation) -> None:
    first = prepared(fresh)
    assert len(first["users"]) == 1
    assert len(first["accounts"]) == 2
    assert len(first["elements"]) == 2
    assert prepared(fresh) == first


def test_the_admin_must_change_the_one_time_password(fresh: Installation) -> None:
    (user,) = prepared(fresh)["users"]
    assert isinstance(user, dict)
    assert user["role"] == "super_admin"
    assert user["password_change_required"] is True
    assert user["password_hash"].startswith("$argon2id$v=19$m=65536,t=3,p=4$")


def test_a_password_that_was_changed_stays(fresh: Installation) -> None:
    before = prepared(fresh)["users"]
    write_private(fresh.folder / "admin-password", "another generated password")
    assert prepared(fresh)["users"] == before


def test_a_secret_follows_its_file(fresh: Installation) -> None:
    before = prepared(fresh)["accounts"]
    write_private(fresh.folder / "cli-secret", "s" * 43)
    after = prepared(fresh)["accounts"]
    assert after[0] != before[0]
    assert after[1] == before[1]


def test_an_elements_address_follows_the_plan_and_its_priority_does_not(
    fresh: Installation,
) -> None:
    prepared(fresh)
    moved = [{**ELEMENTS[0], "url": "https://127.0.0.1:9010", "priority": 7}]
    plan = json.loads(fresh.plan_file.read_text())
    fresh.plan_file.write_text(json.dumps({**plan, "storage_elements": moved}))
    elements = prepared(fresh)["elements"]
    assert len(elements) == 2, "nothing is removed"
    assert isinstance(elements[0], dict)
    assert elements[0]["url"] == "https://127.0.0.1:9010"
    assert elements[0]["priority"] == 100


@pytest.mark.parametrize(
    ("break_it", "expected"),
    [
        (lambda made: made.plan_file.write_text("{}"), "not a plan"),
        (lambda made: made.plan_file.unlink(), "not a plan"),
        (lambda made: (made.folder / "cli-secret").chmod(0o644), "others may read"),
        (lambda made: write_private(made.folder / "cli-secret", "short"), "at least 32"),
        (lambda made: (made.folder / "admin-password").unlink(), "cannot be read"),
    ],
)
def test_an_unfit_plan_is_refused_by_name_and_changes_nothing(
    fresh: Installation, break_it: object, expected: str
) -> None:
    assert callable(break_it)
    break_it(fresh)
    done = fresh.prepare()
    assert done.returncode == 78
    assert re.search(expected, done.stderr)
    assert "Traceback" not in done.stderr
    with psycopg.connect(fresh.database.url) as connection:
        tables = connection.execute("SELECT to_regclass('identity.users')").fetchone()
    if tables != (None,):
        assert facts(fresh) == {"users": [], "accounts": [], "elements": []}


def test_no_secret_reaches_the_output(fresh: Installation) -> None:
    done = fresh.prepare()
    for secret in (fresh.admin_password, fresh.cli_secret, fresh.database.admin_password):
        assert secret not in done.stdout + done.stderr
