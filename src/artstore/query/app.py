"""The query module, put together: the one place that builds things and knows them all."""

import asyncio
import contextlib
from collections.abc import AsyncIterator

from fastapi import FastAPI

from artstore.core.clock import SystemClock
from artstore.core.database import Database
from artstore.core.http import Transport
from artstore.core.recording.deeds import EventMaker
from artstore.core.recording.delivery import deliver_to
from artstore.core.revocation import RevocationMirror
from artstore.core.revocation_sources import following
from artstore.core.secrets.chain import Secrets
from artstore.core.tokens import TokenVerifier
from artstore.core.web.application import create_application
from artstore.core.web.reporting import reporting
from artstore.query.dependencies import Query
from artstore.query.repository.catalogue import Catalogue
from artstore.query.routes import files, search
from artstore.query.services.elements import Elements
from artstore.query.services.files import Files
from artstore.query.services.search import Search
from artstore.query.settings import QuerySettings


def create_app(settings: QuerySettings, secrets: Secrets) -> FastAPI:
    database = Database(
        settings.database_address,
        secrets.login_source("database_password"),
        application_name=settings.instance,
        pool_size=settings.database_pool_size,
    )

    @contextlib.asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        clock = SystemClock()
        transport = Transport(settings.tls)
        catalogue = Catalogue(database)
        elements = Elements(transport, catalogue, clock, admin_url=settings.admin_url)
        revocations = RevocationMirror(clock, settings.revocation_age_max_s)
        app.state.tokens = TokenVerifier(elements.signing_keys, settings.issuer, clock, revocations)
        events = EventMaker(clock, f"query/{settings.instance}")
        deliver = deliver_to(transport, settings.admin_url)
        renewing = asyncio.create_task(database.renew_idle())
        try:
            async with (
                following(revocations, transport, settings.admin_url, settings, secrets),
                reporting(app, settings, deliver, events) as reports,
            ):
                app.state.query = Query(
                    settings,
                    Files(catalogue, elements),
                    Search(catalogue),
                    elements,
                    reports,
                    clock,
                )
                yield
        finally:
            renewing.cancel()
            await asyncio.wait([renewing])
            await transport.close()
            await database.close()

    async def signing_keys() -> None:
        await app.state.tokens.ready()

    app = create_application(
        settings,
        service="query",
        routers=[search.router, files.router, files.content_route],
        lifespan=lifespan,
        checks={"database": database.check, "signing_keys": signing_keys},
    )
    return app
