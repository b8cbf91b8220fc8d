"""What routes ask for.

What FastAPI calls is `async`, though it waits for nothing: a plain function would get a thread.
"""

from typing import Annotated, cast

from fastapi import Depends
from starlette.requests import Request

from artstore.storage.engine.engine import Engine
from artstore.storage.services.batch import BatchIntake
from artstore.storage.services.copies import Copies
from artstore.storage.services.downloads import Downloads
from artstore.storage.services.feed import ChangeFeed
from artstore.storage.services.intake import Intake
from artstore.storage.services.open_uploads import OpenUploads
from artstore.storage.services.records import Records
from artstore.storage.services.scanning import Scans


def intake_of(request: Request) -> Intake:
    return cast(Intake, request.app.state.intake)


def batch_intake_of(request: Request) -> BatchIntake:
    return cast(BatchIntake, request.app.state.batch_intake)


def open_uploads_of(request: Request) -> OpenUploads:
    return cast(OpenUploads, request.app.state.open_uploads)


def downloads_of(request: Request) -> Downloads:
    return cast(Downloads, request.app.state.downloads)


async def _records(request: Request) -> Records:
    return cast(Records, request.app.state.records)


async def _copies(request: Request) -> Copies:
    return cast(Copies, request.app.state.copies)


async def _scans(request: Request) -> Scans:
    return cast(Scans, request.app.state.scans)


async def _feed(request: Request) -> ChangeFeed:
    return cast(ChangeFeed, request.app.state.feed)


async def _engine(request: Request) -> Engine:
    return cast(Engine, request.app.state.engine)


RecordsDep = Annotated[Records, Depends(_records)]
CopiesDep = Annotated[Copies, Depends(_copies)]
ScansDep = Annotated[Scans, Depends(_scans)]
FeedDep = Annotated[ChangeFeed, Depends(_feed)]
EngineDep = Annotated[Engine, Depends(_engine)]
