"""The storage element's process: builds everything and passes it down."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

from fastapi import FastAPI

from artstore.core.antivirus import scanner_of
from artstore.core.clock import Clock, SystemClock
from artstore.core.http import Transport
from artstore.core.recording.deeds import EventMaker
from artstore.core.recording.delivery import deliver_to
from artstore.core.secrets.chain import Secrets
from artstore.core.web.application import create_application
from artstore.core.web.reporting import reporting
from artstore.storage.engine.backends.base import Backend
from artstore.storage.engine.backends.s3 import S3Options, s3_backend
from artstore.storage.engine.backends.s3_bucket import Feature
from artstore.storage.engine.backends.s3_requests import Credentials
from artstore.storage.engine.capacity import Thresholds
from artstore.storage.engine.engine import Engine
from artstore.storage.engine.opening import EngineOptions
from artstore.storage.routes import (
    changes,
    content,
    copies,
    element,
    files,
    open_uploads,
    restored,
    scanning,
    scrub,
)
from artstore.storage.services.batch import BatchIntake
from artstore.storage.services.copies import Copies
from artstore.storage.services.downloads import Downloads
from artstore.storage.services.feed import ChangeFeed
from artstore.storage.services.gate import Gate
from artstore.storage.services.intake import Intake
from artstore.storage.services.open_uploads import OpenUploads
from artstore.storage.services.records import Records
from artstore.storage.services.scanning import Scans
from artstore.storage.services.threads import Threads
from artstore.storage.settings import StorageSettings

WRITING_THREADS = 32
READING_THREADS = 16


def engine_options(settings: StorageSettings) -> EngineOptions:
    return EngineOptions(
        root=str(settings.root),
        element_id=settings.element_id,
        mode=settings.mode,
        reserved_bytes=settings.reserved_bytes,
        thresholds=Thresholds(settings.capacity_warning, settings.capacity_critical),
        segment_bytes=settings.segment_bytes,
        checkpoint_interval_s=settings.checkpoint_interval_s,
        unflushed_bytes_max=settings.checkpoint_bytes,
        has_helper=True,
        scrub_interval_s=settings.scrub_interval_s,
        scrub_rate_bytes_per_s=settings.scrub_rate_bytes_per_s,
        archive_directory=str(settings.archive_directory) if settings.archive_directory else None,
        archive_rate_bytes_per_s=settings.archive_rate_bytes_per_s,
    )


def backend_of(settings: StorageSettings, secrets: Secrets, clock: Clock) -> Backend | None:
    """`None`: the files lie under the root.

    Raises:
        ConfigurationError: A key cannot be read.
    """
    if settings.backend == "local":
        return None
    assert settings.s3_endpoint
    assert settings.s3_bucket
    required: list[Feature] = []
    if settings.s3_require_versioning:
        required.append("versioning")
    if settings.s3_require_object_lock:
        required.append("object_lock")
    options = S3Options(
        endpoint=settings.s3_endpoint,
        bucket=settings.s3_bucket,
        prefix=settings.s3_prefix,
        region=settings.s3_region,
        credentials=Credentials(secrets.read("s3_access_key"), secrets.read("s3_secret_key")),
        capacity_bytes=settings.s3_capacity_bytes,
        concurrency=settings.s3_concurrency,
        timeout_s=settings.s3_timeout_s,
        required=tuple(required),
    )
    return s3_backend(options, clock)


def create_app(settings: StorageSettings, engine: Engine) -> FastAPI:
    """`engine` is open; it runs while the application does, and is closed with it."""

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        reading = Threads(READING_THREADS, "reading")
        writing = Threads(WRITING_THREADS, "writing")
        app.state.engine = engine
        app.state.feed = ChangeFeed(engine, reading, is_stopping=lambda: _is_stopping(app))
        app.state.downloads = Downloads(engine, reading)
        app.state.records = Records(engine, reading, writing)
        clock, gate = SystemClock(), Gate(engine.new_files)
        scanner = scanner_of(settings, clock)
        app.state.scans = Scans(engine, app.state.downloads, writing, scanner)
        intake = Intake(engine, writing, gate, clock, settings.inline_bytes_max)
        app.state.intake = intake
        app.state.batch_intake = BatchIntake(engine, intake, writing, gate, clock)
        transport = Transport(settings.tls)
        app.state.copies = Copies(engine, transport, writing, settings.inline_bytes_max)
        app.state.open_uploads = OpenUploads(engine, writing, clock)
        engine.start()
        tidying = asyncio.create_task(app.state.open_uploads.tidy())
        async with _refusals_told(app, settings, transport):
            yield
        tidying.cancel()
        with suppress(asyncio.CancelledError):
            await tidying
        await app.state.copies.close()
        await transport.close()
        await writing.run(engine.close)
        reading.close()
        writing.close()

    async def check_volume() -> None:
        engine.check()

    async def capacity() -> str:
        # A full element is ready: it reads. Whoever looks here sees what is near.
        return engine.info().capacity.state.value

    async def damage() -> str | None:
        # What is damaged is not read; everything else is.
        count = engine.scrub.status().open_findings
        return f"{count} open findings" if count else None

    async def archive() -> str | None:
        # What is not in reach cannot be restored; records are read all the same.
        status = engine.info().archive
        return status.trouble if status is not None else None

    return create_application(
        settings,
        service="storage",
        routers=[
            *content.routes,
            *open_uploads.routes,
            files.router,
            changes.router,
            copies.router,
            restored.router,
            element.router,
            scrub.router,
            scanning.router,
        ],
        lifespan=lifespan,
        hot_routes=content.hot_routes,
        checks={
            _place(settings): check_volume,
            "capacity": capacity,
            "scrub": damage,
            "archive": archive,
        },
    )


@asynccontextmanager
async def _refusals_told(
    app: FastAPI, settings: StorageSettings, transport: Transport
) -> AsyncIterator[None]:
    """An element that knows no admin module shows its refusals in log and metrics only."""
    if settings.admin_url is None:
        yield
        return
    events = EventMaker(SystemClock(), f"storage/{settings.instance}")
    async with reporting(app, settings, deliver_to(transport, settings.admin_url), events):
        yield


def _place(settings: StorageSettings) -> str:
    return "volume" if settings.backend == "local" else "store"


def _is_stopping(app: FastAPI) -> bool:
    return bool(getattr(app.state, "stopping", False))
