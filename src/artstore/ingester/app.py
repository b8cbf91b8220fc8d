"""The ingester, put together: the one place that builds things and knows them all."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any

from fastapi import FastAPI

from artstore.core.antivirus import scanner_of
from artstore.core.clock import SystemClock
from artstore.core.errors import Unavailable
from artstore.core.http import Transport
from artstore.core.recording.deeds import EventMaker
from artstore.core.recording.delivery import deliver_to
from artstore.core.recording.receipts import ReceiptIssuer, register_with
from artstore.core.revocation import RevocationMirror
from artstore.core.revocation_sources import following
from artstore.core.secrets.chain import Secrets
from artstore.core.tokens import TokenVerifier
from artstore.core.web.application import create_application
from artstore.core.web.reporting import reporting
from artstore.ingester.dependencies import Ingester
from artstore.ingester.routes import files, uploads
from artstore.ingester.routes.refusals import LingeringRefusal
from artstore.ingester.services.batching import Batching
from artstore.ingester.services.delivery import Elements
from artstore.ingester.services.detection import Detector
from artstore.ingester.services.elements import CachedDirectory
from artstore.ingester.services.inspection import Inspector
from artstore.ingester.services.intake import Earlier, Intake
from artstore.ingester.services.open_uploads import OpenUploadCalls
from artstore.ingester.services.placement import Placement
from artstore.ingester.services.resumable import Resumable
from artstore.ingester.services.rules import CachedRules
from artstore.ingester.services.scanning import Scanning
from artstore.ingester.settings import IngesterSettings


def create_app(settings: IngesterSettings, secrets: Secrets) -> FastAPI:
    @contextlib.asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        clock = SystemClock()
        transport = Transport(settings.tls)
        elements = Elements(
            transport, admin_url=settings.admin_url, timeout_s=settings.element_timeout_s
        )
        directory = CachedDirectory(
            elements,
            clock,
            registry_refresh_s=settings.registry_refresh_s,
            element_refresh_s=settings.element_refresh_s,
        )
        app.state.directory = directory
        revocations = RevocationMirror(clock, settings.revocation_age_max_s)
        app.state.tokens = TokenVerifier(elements.signing_keys, settings.issuer, clock, revocations)
        app.state.rules = rules = CachedRules(elements, clock, settings.registry_refresh_s)
        detector = Detector()
        scanner = scanner_of(settings, clock)
        inspector = Inspector(detector, Scanning(scanner, clock))
        placement = Placement(directory)
        intake = Intake(
            placement,
            Batching(elements),
            clock,
            rules=rules,
            inspector=inspector,
            earlier=Earlier(directory, elements, clock),
        )
        resumable = Resumable(
            placement,
            directory,
            OpenUploadCalls(transport, settings.element_timeout_s),
            clock,
            lifetime_s=settings.upload_lifetime_s,
            rules=rules,
            inspector=inspector,
        )
        register = register_with(transport, settings.admin_url)
        app.state.receipts = receipts = ReceiptIssuer(register, settings.issuer, clock)
        app.state.ingester = Ingester(settings, clock, intake, resumable, rules, receipts)
        events = EventMaker(clock, f"ingester/{settings.instance}")
        deliver = deliver_to(transport, settings.admin_url)
        watching = [scanner.watch()] if scanner is not None else []
        background = [
            asyncio.create_task(work)
            for work in (directory.follow(), rules.follow(), receipts.run(), *watching)
        ]
        try:
            async with (
                following(revocations, transport, settings.admin_url, settings, secrets),
                reporting(app, settings, deliver, events),
            ):
                yield
        finally:
            for task in background:
                task.cancel()
            await asyncio.wait(background)
            detector.close()
            await transport.close()

    async def signing_keys() -> None:
        await app.state.tokens.ready()

    async def storage_elements() -> None:
        await _part(app, "directory").check()

    async def admission_rules() -> None:
        await _part(app, "rules").check()

    async def receipt_key() -> None:
        await _part(app, "receipts").ready()

    app = create_application(
        settings,
        service="ingester",
        routers=[*files.routes, *uploads.routes],
        hot_routes=files.routes,
        lifespan=lifespan,
        checks={
            "signing_keys": signing_keys,
            "storage_elements": storage_elements,
            "admission_rules": admission_rules,
            "receipt_key": receipt_key,
        },
    )
    app.add_middleware(LingeringRefusal)
    return app


def _part(app: FastAPI, name: str) -> Any:
    """What `lifespan` made. Raises `Unavailable` before."""
    part = getattr(app.state, name, None)
    if part is None:
        raise Unavailable
    return part
