"""Serves an application: uvicorn around connections of our own (`core.web.connection`)."""

import gc
import resource
from types import FrameType
from typing import Final

import uvicorn
from fastapi import FastAPI

from artstore.core.certificates import LiveServer
from artstore.core.clock import SystemClock
from artstore.core.settings import ModuleSettings
from artstore.core.web.connection import Connection, ServerConfig

TICKS_BETWEEN_LOOKS: Final = 20
"""uvicorn ticks ten times a second. Connections that stand must hear of a revocation, too."""

GARBAGE_THRESHOLD: Final = 20_000
"""New objects before the collector runs; some megabytes at most."""


def serve(app: FastAPI, settings: ModuleSettings) -> None:
    """Run until SIGTERM or SIGINT; running requests get `shutdown_grace_s` to end."""
    allow_many_files()
    _collect_garbage_less()
    _Server(server_config(app, settings), app).run()


class _Server(uvicorn.Server):
    """Tells the application that it is to stop: whoever waits in a long poll answers then."""

    def __init__(self, config: ServerConfig, app: FastAPI) -> None:
        super().__init__(config)
        self._app = app
        self._live = config.live

    async def on_tick(self, counter: int) -> bool:
        if counter % TICKS_BETWEEN_LOOKS == 0:
            if self._live is not None:
                self._live.current()
            # One walk for all: a timer of its own would cost every request two.
            for connection in list(self.server_state.connections):
                connection.close_idle()  # type: ignore[union-attr]
        return await super().on_tick(counter)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        self._app.state.stopping = True
        super().handle_exit(sig, frame)


def allow_many_files() -> None:
    """Connections of a thousand clients, and open files, soon pass the usual limit of 1024."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def _collect_garbage_less() -> None:
    """A request makes hundreds of objects and hardly a cycle; at Python's default threshold
    the collector would look for some after every few requests, through all modules loaded."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(GARBAGE_THRESHOLD)


def server_config(app: FastAPI, settings: ModuleSettings) -> ServerConfig:
    live = LiveServer(settings.tls, SystemClock()) if settings.tls else None
    config = ServerConfig(
        app,
        host=settings.host,
        port=settings.port,
        loop="uvloop",
        http=Connection,
        ws="none",
        log_config=None,
        access_log=False,
        server_header=False,
        # Only the edge knows the client's address, and it says so in the audit, not here.
        proxy_headers=False,
        timeout_graceful_shutdown=settings.shutdown_grace_s,
        ssl_context_factory=(lambda _config, _default: live.context) if live else None,
    )
    config.live = live
    return config
