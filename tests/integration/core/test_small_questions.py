"""Goal: a small question leaves the pool as it was, however it ends."""

from collections.abc import AsyncIterator, Callable

import psycopg
import pytest
from sqlalchemy import text
from tests.support.postgres import TestDatabase

from artstore.core.database import Database
from artstore.core.errors import Unavailable
from artstore.core.secrets.chain import fixed_login


@pytest.fixture
async def pool(make_database: Callable[[str], TestDatabase]) -> AsyncIterator[Database]:
    """One connection, so that whatever a question does to it is seen by the next user."""
    made = make_database("small_questions")
    login = fixed_login(made.admin_password)
    database = Database(made.admin_url, login, application_name="asking", pool_size=1)
    yield database
    await database.close()


async def works(pool: Database) -> bool:
    """A session still is one transaction."""
    async with pool.session() as session:
        await session.execute(text("SET LOCAL work_mem = '65kB'"))
        return await session.scalar(text("SHOW work_mem")) == "65kB"


async def test_the_rows(pool: Database) -> None:
    assert await pool.ask("SELECT %s::int + n FROM generate_series(1, 2) n", (1,)) == [(2,), (3,)]
    assert await works(pool)


async def test_a_question_that_is_wrong(pool: Database) -> None:
    with pytest.raises(psycopg.errors.UndefinedTable):
        await pool.ask("SELECT FROM nowhere")
    assert await works(pool)


async def test_a_connection_that_is_cut_meanwhile(pool: Database) -> None:
    with pytest.raises(Unavailable):
        await pool.ask("SELECT pg_terminate_backend(pg_backend_pid())")
    assert await works(pool)


async def test_a_server_that_does_not_answer(pool: Database) -> None:
    pool.answers = False
    with pytest.raises(Unavailable):
        await pool.ask("SELECT 1")
    assert await pool.ask("SELECT 1", watching=True) == [(1,)]
