"""PostgreSQL: the pool, and a session that is one transaction."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Sequence
from time import perf_counter
from typing import Any

import psycopg
from opentelemetry.trace import SpanKind
from sqlalchemy import event, make_url, text
from sqlalchemy.engine.interfaces import ExceptionContext
from sqlalchemy.exc import DBAPIError, DisconnectionError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from sqlalchemy.ext.asyncio import (
    AsyncEngine,
    AsyncSession,
    async_sessionmaker,
    create_async_engine,
)
from sqlalchemy.pool import AsyncAdaptedQueuePool

from artstore.core.errors import Unavailable
from artstore.core.metrics import DB_POOL_CONNECTIONS, DB_QUERY_DURATION
from artstore.core.secrets.chain import LoginSource
from artstore.core.spans import OpenSpan, begin_child

POOL_WAIT_S = 5.0
CONNECT_TIMEOUT_S = 3
STATEMENT_TIMEOUT_MS = 60_000
LOGIN_CHECK_S = 2.0
CONNECTION_AGE_MAX_S = 3600
"""Across a network each shows a certificate, which ends; a new one shows the renewed."""


class Database:
    """One per process. The login comes apart from the URL: no log can show it, and it may change.
    New connections use the login of their moment, and one that was made with a former login is
    made anew before its next use."""

    def __init__(
        self, url: str, login: LoginSource, *, application_name: str, pool_size: int = 10
    ) -> None:
        self._login = login
        self.engine: AsyncEngine = create_async_engine(
            make_url(url),
            pool_size=pool_size,
            max_overflow=0,
            pool_timeout=POOL_WAIT_S,
            pool_pre_ping=True,
            pool_recycle=CONNECTION_AGE_MAX_S,
            connect_args={
                "application_name": application_name,
                "connect_timeout": CONNECT_TIMEOUT_S,
                "options": f"-c statement_timeout={STATEMENT_TIMEOUT_MS}",
            },
        )
        self._sessions = async_sessionmaker(self.engine, expire_on_commit=False)
        self.answers = True
        """Set by whoever watches the server. While it hangs nobody begins to wait for it: no
        timeout of ours would get a request back that has begun."""
        self._watch_pool()
        self._watch_queries()
        self._follow_login()

    @contextlib.asynccontextmanager
    async def session(self, *, watching: bool = False) -> AsyncIterator[AsyncSession]:
        """One transaction: committed when the block ends, rolled back when it raises.

        Args:
            watching: Ask the server although it hangs: to notice when it does no more.

        Raises:
            Unavailable: The database is away, or all its connections are busy.
        """
        self._check_answers(watching)
        try:
            async with self._sessions() as session, session.begin():
                yield session
        except PoolTimeoutError as error:
            raise Unavailable("the database is busy") from error
        except DBAPIError as error:
            if error.connection_invalidated or _is_outage(error.orig):
                raise Unavailable("the database is not available") from error
            raise

    async def ask(
        self, query: str, values: Sequence[object] = (), *, watching: bool = False
    ) -> list[tuple[Any, ...]]:
        """The rows of one small SELECT that is asked again and again, also when nobody uses us.

        It goes to the driver as it is, outside of a transaction: a session for it costs three
        times as much, and at rest the admin module does little else than ask. Such questions
        are in no trace and in no metric of queries.

        Args, Raises: as `session`.
        """
        self._check_answers(watching)
        try:
            async with self.engine.connect() as connection:
                try:
                    driver: Any = (await connection.get_raw_connection()).driver_connection
                    await driver.set_autocommit(True)
                    cursor = await driver.execute(query, values)
                    rows: list[tuple[Any, ...]] = await cursor.fetchall()
                    await driver.set_autocommit(False)
                except BaseException:
                    # Nobody knows what state it is in.
                    await connection.invalidate()
                    raise
        except PoolTimeoutError as error:
            raise Unavailable("the database is busy") from error
        except (DBAPIError, psycopg.Error) as error:
            if _is_outage(error.orig if isinstance(error, DBAPIError) else error):
                raise Unavailable("the database is not available") from error
            raise
        return rows

    def _check_answers(self, watching: bool) -> None:
        if not (self.answers or watching):
            raise Unavailable("the database does not answer")

    async def check(self) -> None:
        async with self.session() as session:
            await session.execute(text("SELECT 1"))

    async def renew_idle(self) -> None:
        """Until cancelled: connections that nobody uses let go of a former login, too."""
        pool = self.engine.sync_engine.pool
        assert isinstance(pool, AsyncAdaptedQueuePool)
        seen = self._login()
        while True:
            await asyncio.sleep(LOGIN_CHECK_S)
            if self._login() == seen:
                continue
            seen = self._login()
            # First in, first out: one after the other comes by and is looked at.
            for _ in range(pool.checkedin()):
                with contextlib.suppress(DBAPIError, PoolTimeoutError):
                    async with self.engine.connect():
                        pass

    async def close(self) -> None:
        await self.engine.dispose()

    def _follow_login(self) -> None:
        engine = self.engine.sync_engine

        @event.listens_for(engine, "do_connect")
        def _log_in(_dialect: Any, record: Any, _args: Any, parameters: dict[str, Any]) -> None:
            login = self._login()
            if login.username:
                parameters["user"] = login.username
            parameters["password"] = login.password
            record.info["login"] = login

        @event.listens_for(engine, "checkout")
        def _look_at(_connection: Any, record: Any, _proxy: Any) -> None:
            if record.info.get("login") != self._login():
                raise DisconnectionError("made with a former login")

    def _watch_pool(self) -> None:
        pool = self.engine.sync_engine.pool
        assert isinstance(pool, AsyncAdaptedQueuePool)
        DB_POOL_CONNECTIONS.labels("max").set(pool.size())
        DB_POOL_CONNECTIONS.labels("in_use").set_function(pool.checkedout)
        DB_POOL_CONNECTIONS.labels("idle").set_function(pool.checkedin)

    def _watch_queries(self) -> None:
        engine = self.engine.sync_engine

        @event.listens_for(engine, "before_cursor_execute")
        def _begin(_c: Any, _cur: Any, statement: str, _p: Any, context: Any, _m: Any) -> None:
            context.started_s = perf_counter()
            context.span = _statement_span(statement)

        @event.listens_for(engine, "after_cursor_execute")
        def _end(_c: Any, _cur: Any, _s: Any, _p: Any, context: Any, _m: Any) -> None:
            DB_QUERY_DURATION.observe(perf_counter() - context.started_s)
            if context.span is not None:
                context.span.end()

        @event.listens_for(engine, "handle_error")
        def _fail(failure: ExceptionContext) -> None:
            span = getattr(failure.execution_context, "span", None)
            if span is not None:
                span.end(failed=True)


def _statement_span(statement: str) -> OpenSpan | None:
    """Only its first word: a statement may be long, and values may stand in one."""
    operation = statement.lstrip()[:8].split(None, 1)[0].upper()
    attributes = {"db.system.name": "postgresql", "db.operation.name": operation}
    return begin_child(f"postgresql {operation}", SpanKind.CLIENT, attributes)


def _is_outage(error: BaseException | None) -> bool:
    """Whether the server is away, starting or stopping, rather than refusing this statement.

    SQLSTATE classes: 08 connection, 53 resources, 57P shutdown; none: never connected.
    """
    state = getattr(error, "sqlstate", None)
    name = type(error).__name__
    if state is None:
        return name in {"OperationalError", "ConnectionTimeout"}
    return str(state).startswith(("08", "53", "57P"))
