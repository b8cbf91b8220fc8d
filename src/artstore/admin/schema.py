"""Brings the database to the schema this code needs. Blocking: for start-up, not for requests."""

from functools import cache
from importlib.resources import as_file, files

from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, Engine, create_engine, make_url, text
from sqlalchemy.ext.asyncio import AsyncSession

from artstore.admin.tables import SCHEMA, VERSION_TABLE
from artstore.core import catalogue
from artstore.core.errors import Unavailable
from artstore.core.secrets.chain import LoginSource
from artstore.core.settings import ConfigurationError

MIGRATION_LOCK = 0x4172_7453_746F_7265
"""Advisory lock of PostgreSQL: of several instances that start together, one migrates."""

_GRANTS = (
    f"GRANT USAGE ON SCHEMA {catalogue.SCHEMA} TO {catalogue.READER_GROUP}",
    f"GRANT SELECT ON ALL TABLES IN SCHEMA {catalogue.SCHEMA} TO {catalogue.READER_GROUP}",
)


def migrate(url: str, login_source: LoginSource) -> None:
    """Bring the schema to its head and let the readers' group read the catalogue.

    May be repeated and run by several processes at once. All steps are one transaction:
    a crash leaves the old schema.

    Raises:
        ConfigurationError: The readers' group is missing and may not be created.
    """
    place, login = make_url(url), login_source()
    username = login.username or place.username
    engine = create_engine(place.set(username=username, password=login.password))
    try:
        _migrate(engine)
    finally:
        engine.dispose()


def _migrate(engine: Engine) -> None:
    with engine.begin() as connection:
        # Released by the end of the transaction, also by a crash.
        connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": MIGRATION_LOCK})
        connection.execute(text(f"CREATE SCHEMA IF NOT EXISTS {SCHEMA}"))
        with as_file(files("artstore.admin") / "migrations") as folder:
            config = Config()
            config.set_main_option("script_location", str(folder).replace("%", "%%"))
            config.attributes["connection"] = connection
            command.upgrade(config, "head")
        _make_reader_group(connection)
        for statement in _GRANTS:
            connection.execute(text(statement))


def _make_reader_group(connection: Connection) -> None:
    group = {"name": catalogue.READER_GROUP}
    if connection.scalar(text("SELECT 1 FROM pg_roles WHERE rolname = :name"), group):
        return
    may_create = connection.scalar(
        text("SELECT rolsuper OR rolcreaterole FROM pg_roles WHERE rolname = current_user")
    )
    if not may_create:
        raise ConfigurationError(
            f"the database role {catalogue.READER_GROUP} is missing; "
            f"run as an administrator of PostgreSQL: CREATE ROLE {catalogue.READER_GROUP} NOLOGIN"
        )
    connection.execute(text(f"CREATE ROLE {catalogue.READER_GROUP} NOLOGIN"))


@cache
def head_revision() -> str:
    with as_file(files("artstore.admin") / "migrations") as folder:
        head = ScriptDirectory(str(folder)).get_current_head()
    assert head is not None, "the package carries its migrations"
    return head


async def check_schema(session: AsyncSession) -> None:
    """Raises `Unavailable` unless the database is at the schema this code needs."""
    # Looked up first: asking a table that is not there would be an error of its own.
    known = await session.scalar(text(f"SELECT to_regclass('{SCHEMA}.{VERSION_TABLE}')"))
    version = None
    if known is not None:
        statement = text(f"SELECT version_num FROM {SCHEMA}.{VERSION_TABLE}")  # noqa: S608
        version = await session.scalar(statement)
    if version != head_revision():
        raise Unavailable(
            f"the database schema is {version or 'empty'}, this version needs {head_revision()}; "
            "run: python -m artstore.admin prepare"
        )
