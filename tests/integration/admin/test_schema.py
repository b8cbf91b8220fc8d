"""The migrations lead to the tables the code declares; may be repeated and run at once."""

import threading
from pathlib import Path

import psycopg
import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from tests.support.admin import MakeDatabase
from tests.support.postgres import TestDatabase, TestServer

from artstore.admin import migrations
from artstore.admin.schema import check_schema, head_revision, migrate
from artstore.admin.tables import ALL_METADATA, VERSION_TABLE
from artstore.core.database import Database
from artstore.core.errors import Unavailable
from artstore.core.secrets.chain import fixed_login

SCHEMAS = ("identity", "catalogue", "audit", "policy", "jobs")


@pytest.fixture
def migrated(make_database: MakeDatabase) -> TestDatabase:
    database = make_database("schema")
    migrate(database.admin_url, fixed_login(database.admin_password))
    return database


def engine_of(database: TestDatabase) -> sa.Engine:
    return sa.create_engine(sa.make_url(database.admin_url).set(password=database.admin_password))


def test_the_migrations_lead_to_the_declared_tables(migrated: TestDatabase) -> None:
    engine = engine_of(migrated)
    with engine.connect() as connection:
        context = MigrationContext.configure(
            connection,
            opts={
                "include_schemas": True,
                "include_name": lambda name, kind, _: kind != "schema" or name in SCHEMAS,
                "include_object": lambda _, name, *__: name != VERSION_TABLE,
                "compare_type": True,
                "compare_server_default": True,
            },
        )
        differences = compare_metadata(context, ALL_METADATA)  # type: ignore[arg-type]
    engine.dispose()
    assert differences == []


INDEXES = """
SELECT indexname, regexp_replace(indexdef, ' ON \\S+ ', ' ') FROM pg_indexes
WHERE schemaname = %s ORDER BY indexname
"""
CHECKS = """
SELECT conname, pg_get_constraintdef(oid) FROM pg_constraint
WHERE contype = 'c' AND connamespace = %s::regnamespace ORDER BY conname
"""
GENERATED = """
SELECT column_name, generation_expression FROM information_schema.columns
WHERE table_schema = %s AND is_generated = 'ALWAYS'
"""


@pytest.mark.parametrize("statement", [INDEXES, CHECKS, GENERATED])
@pytest.mark.parametrize("schema", SCHEMAS)
def test_indexes_checks_and_formulas_are_the_declared_ones(
    migrated: TestDatabase, make_database: MakeDatabase, statement: str, schema: str
) -> None:
    """What Alembic does not compare."""
    declared = make_database("declared")
    engine = engine_of(declared)
    with engine.begin() as connection:
        for metadata in ALL_METADATA:
            connection.execute(sa.text(f"DROP SCHEMA IF EXISTS {metadata.schema} CASCADE"))
            connection.execute(sa.text(f"CREATE SCHEMA {metadata.schema}"))
            metadata.create_all(connection)
    engine.dispose()

    def facts(database: TestDatabase) -> dict[str, str]:
        with psycopg.connect(database.url) as connection:
            rows = connection.execute(statement, (schema,)).fetchall()
        return {name: text for name, text in rows if VERSION_TABLE not in name}

    assert facts(migrated) == facts(declared)


def test_several_instances_may_migrate_at_once(make_database: MakeDatabase) -> None:
    database = make_database("schema_race")
    failures: list[Exception] = []

    def run() -> None:
        try:
            migrate(database.admin_url, fixed_login(database.admin_password))
        except (sa.exc.SQLAlchemyError, psycopg.Error) as error:
            failures.append(error)

    threads = [threading.Thread(target=run) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []


def test_the_query_role_reads_the_catalogue_and_nothing_else(
    migrated: TestDatabase, postgres_server: TestServer
) -> None:
    url = postgres_server.server.url(postgres_server.query, migrated.name)
    with psycopg.connect(url, autocommit=True) as connection:
        assert connection.execute("SELECT count(*) FROM catalogue.files").fetchone() == (0,)
        for statement in (
            "SELECT * FROM identity.service_accounts",
            "SELECT * FROM identity.signing_keys",
            "SELECT * FROM audit.events",
            "SELECT * FROM audit.outbox",
            "DELETE FROM catalogue.files",
        ):
            with pytest.raises(psycopg.Error):
                connection.execute("SET default_transaction_read_only = off; " + statement)


async def test_a_database_without_the_schema_is_not_ready(make_database: MakeDatabase) -> None:
    database = make_database("schema_empty")
    pool = Database(
        database.admin_url, fixed_login(database.admin_password), application_name="test"
    )
    try:
        with pytest.raises(Unavailable, match="prepare"):
            async with pool.session() as session:
                await check_schema(session)
        migrate(database.admin_url, fixed_login(database.admin_password))
        async with pool.session() as session:
            await check_schema(session)
    finally:
        await pool.close()


def test_migrations_are_numbered_in_a_row() -> None:
    folder = Path(migrations.__file__).parent / "versions"
    numbers = sorted(path.name[:4] for path in folder.glob("[0-9]*.py"))
    assert numbers == [f"{number:04}" for number in range(1, len(numbers) + 1)]
    assert head_revision() == numbers[-1]
