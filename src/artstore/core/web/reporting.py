"""What every module does so that its refusals and reads reach the audit log."""

import asyncio
import contextlib
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path

from fastapi import FastAPI

from artstore.core.recording.configuration import tell_changed_settings
from artstore.core.recording.deeds import EventMaker
from artstore.core.recording.reports import Deliver, Reports
from artstore.core.recording.spool import Spool
from artstore.core.settings import ConfigurationError, ModuleSettings
from artstore.core.web.refusals import Refusals


@contextlib.asynccontextmanager
async def reporting(
    app: FastAPI, settings: ModuleSettings, deliver: Deliver, events: EventMaker
) -> AsyncIterator[Reports]:
    """From here on, refusals of `app` are noticed and what it reports is delivered.

    Raises:
        ConfigurationError: There is no folder to keep reports in, or it cannot be used.
    """
    async with contextlib.AsyncExitStack() as stack:
        folder = lasting = settings.audit_spool_folder
        if folder is None:
            if settings.profile == "production":
                raise ConfigurationError("production needs a folder for audit events that wait")
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="artstore-")))
        try:
            spool = await asyncio.to_thread(Spool, folder)
        except OSError as error:
            raise ConfigurationError(f"{folder}: cannot keep audit events ({error})") from error
        stack.callback(spool.close)
        reports = Reports(spool, deliver, events)
        await stack.enter_async_context(reports.running())
        app.state.refusals = Refusals(reports)
        if lasting is not None and events.service is not None:
            values = settings.model_dump(mode="json")
            await tell_changed_settings(reports, lasting, events.service, values)
        telling = asyncio.create_task(app.state.refusals.run())
        stack.push_async_callback(_ended, telling)
        yield reports


async def _ended(task: asyncio.Task[None]) -> None:
    task.cancel()
    await asyncio.wait([task])
