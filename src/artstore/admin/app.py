"""The application of the admin module: its routes, and what runs beside them."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Coroutine, Sequence
from typing import Any

from fastapi import FastAPI

from artstore.admin.background import background_work
from artstore.admin.resources import Resources, open_resources
from artstore.admin.routes import (
    admission,
    audit,
    catalogue,
    collections,
    credentials,
    files,
    grants,
    jobs,
    jwt_keys,
    key_encryption,
    monitoring,
    oidc,
    people_sign_in,
    receipts,
    reports,
    second_factors,
    service_accounts,
    storage_elements,
    tokens,
    users,
    well_known,
)
from artstore.admin.routes import (
    revocations as revocation_orders,
)
from artstore.admin.schema import check_schema
from artstore.admin.services.audit.intake import ReportIntake
from artstore.admin.settings import AdminSettings
from artstore.core.clock import SystemClock
from artstore.core.recording.reports import Deliver
from artstore.core.secrets.chain import Secrets
from artstore.core.web.application import create_application
from artstore.core.web.reporting import reporting

ROUTERS = (
    well_known.router,
    tokens.router,
    people_sign_in.router,
    oidc.router,
    second_factors.router,
    users.router,
    service_accounts.router,
    grants.router,
    jwt_keys.router,
    key_encryption.router,
    credentials.router,
    revocation_orders.router,
    storage_elements.router,
    collections.router,
    admission.router,
    jobs.router,
    monitoring.router,
    files.router,
    catalogue.router,
    audit.router,
    receipts.router,
    reports.router,
)


def create_app(settings: AdminSettings, secrets: Secrets) -> FastAPI:
    """The application. It opens connections when it starts, not here."""

    @contextlib.asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async with open_resources(settings, secrets, SystemClock()) as parts:
            await _check_database(parts)
            await parts.rotation.prepare()
            await parts.revocations.spread()
            app.state.resources = parts
            app.state.tokens = parts.verifier
            async with contextlib.AsyncExitStack() as stack:
                refusals = reporting(app, settings, _into_the_outbox(parts), parts.trail)
                await stack.enter_async_context(refusals)
                for work in background_work(parts):
                    await stack.enter_async_context(_running(work))
                yield

    async def database() -> None:
        await _check_database(app.state.resources)

    async def valkey() -> None:
        await app.state.resources.valkey.check()

    app = create_application(
        settings,
        service="admin",
        routers=(*ROUTERS, *tokens.hot_routes),
        hot_routes=tokens.hot_routes,
        lifespan=lifespan,
        checks={"database": database, "valkey": valkey},
    )
    return app


def _into_the_outbox(parts: Resources) -> Deliver:
    """This module's own refusals; what changes something is written with the change."""
    intake = ReportIntake(parts.database, parts.trail)

    async def deliver(lines: Sequence[bytes]) -> None:
        await intake.take(lines, reporter=None)

    return deliver


async def _check_database(parts: Resources) -> None:
    async with parts.database.session() as session:
        await check_schema(session)


@contextlib.asynccontextmanager
async def _running(work: Coroutine[Any, Any, None]) -> AsyncIterator[None]:
    """`work` in the background, cancelled at the end of the block."""
    task = asyncio.create_task(work)
    try:
        yield
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
