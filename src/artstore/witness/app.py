"""The witness over HTTP: two calls of c2sp.org/tlog-witness, and one for health.

Starlette and uvicorn alone. The frame of the modules is not for it: that one asks for client
certificates of an installation, and this process serves strangers, who show who they are by the
signature on what they bring.
"""

import asyncio
import re
import ssl
from functools import partial

import uvicorn
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import ClientDisconnect, Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from artstore.core.certificates import LiveFiles, following
from artstore.core.clock import SystemClock
from artstore.core.logging import configure_logging, get_logger
from artstore.core.settings import ConfigurationError
from artstore.core.tlog.errors import InvalidNote, LogStopped
from artstore.core.tlog.folder import FolderStore
from artstore.core.tlog.notes.note import NOTE_BYTES_MAX
from artstore.core.tls import public_context
from artstore.witness.settings import LogsFile, WitnessSettings, read_keys, read_logs
from artstore.witness.witness import Refused, Witness

BODY_BYTES_MAX = NOTE_BYTES_MAX + (4 << 10)
"""A note and 63 hashes."""

BODY_TIMEOUT_S = 10.0
CONNECTIONS_MAX = 256
KEEP_ALIVE_S = 120
HEAD_TIMEOUT_S = 10.0
"""So long may a request take to be asked. Connections are few, and whoever only holds one keeps
others out."""
_ORIGIN_HASH = re.compile(r"[0-9a-f]{64}")


def create_app(witness: Witness, logs: LogsFile) -> Starlette:
    def decide(body: bytes) -> str:
        _learn_logs(witness, logs)
        return witness.add_checkpoint(body)

    async def add_checkpoint(request: Request) -> Response:
        try:
            body = await _read_body(request)
            lines = await run_in_threadpool(decide, body)
        except Refused as refusal:
            get_logger().info("refused", status=refusal.status)
            return Response(refusal.text, refusal.status, media_type=refusal.media_type)
        except (InvalidNote, OSError) as error:
            get_logger().error("cannot sign", cause=repr(error))
            return PlainTextResponse("this witness cannot sign now\n", 500)
        return PlainTextResponse(lines)

    async def newest_checkpoint(request: Request) -> Response:
        origin_hash = request.path_params["origin_hash"]
        note: bytes | None = None
        if _ORIGIN_HASH.fullmatch(origin_hash):
            note = await run_in_threadpool(witness.newest, origin_hash)
        if note is None:
            return PlainTextResponse("no checkpoint of this log was cosigned here\n", 404)
        return Response(note, media_type="text/plain; charset=utf-8")

    async def live(_: Request) -> Response:
        return PlainTextResponse("live\n")

    return Starlette(
        routes=[
            Route("/add-checkpoint", add_checkpoint, methods=["POST"]),
            Route("/{origin_hash}/checkpoint", newest_checkpoint),
            Route("/health/live", live),
            Route("/health/ready", live),
        ]
    )


def _learn_logs(witness: Witness, logs: LogsFile) -> None:
    """A file that cannot be read changes nothing: those who were served are served."""
    try:
        keys = logs.changed()
    except ConfigurationError as error:
        get_logger().error("list of logs not taken over", cause=str(error))
        return
    if keys is not None:
        witness.serve(keys)
        get_logger().info("list of logs taken over", logs=witness.origins, keys=len(keys))


async def _read_body(request: Request) -> bytes:
    """Raises `Refused` when it is too long, or comes too slowly."""
    body = bytearray()
    try:
        async with asyncio.timeout(BODY_TIMEOUT_S):
            async for chunk in request.stream():
                body += chunk
                if len(body) > BODY_BYTES_MAX:
                    raise Refused(413, f"a request has at most {BODY_BYTES_MAX} bytes\n")
    except TimeoutError:
        raise Refused(408, "the request came too slowly\n") from None
    except ClientDisconnect:
        raise Refused(400, "the request ended early\n") from None
    return bytes(body)


class PatientProtocol(HttpToolsProtocol):
    """Uvicorn's own waits for ever for the end of a head that has begun, or never does."""

    _waiting: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._begin_to_wait()

    def connection_lost(self, exc: Exception | None) -> None:
        self._end_to_wait()
        super().connection_lost(exc)

    def on_message_begin(self) -> None:
        if self._waiting is None:
            self._begin_to_wait()
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        self._end_to_wait()
        super().on_headers_complete()

    def _begin_to_wait(self) -> None:
        self._waiting = self.loop.call_later(HEAD_TIMEOUT_S, self.transport.abort)

    def _end_to_wait(self) -> None:
        if self._waiting is not None:
            self._waiting.cancel()
            self._waiting = None


def serve(settings: WitnessSettings) -> None:
    """Run until SIGTERM or SIGINT.

    Raises:
        ConfigurationError: A file is missing or malformed, or another process has the state.
    """
    logs = LogsFile(settings.logs_file)
    keys, log_keys = read_keys(settings.key_file), read_logs(settings.logs_file)
    name = keys.current[0].name
    configure_logging("witness", name, settings.log_level)
    try:
        store = FolderStore.at(settings.state).lock()
        witness = Witness(store, keys.current, log_keys, SystemClock(), old_keys=keys.former)
        witness.check()
    except LogStopped:
        raise ConfigurationError(f"{settings.state}: another witness uses this folder") from None
    except (InvalidNote, OSError) as error:
        raise ConfigurationError(f"{settings.state}: a record is damaged ({error})") from None
    get_logger().info("witness starts", name=name, logs=witness.origins, port=settings.port)
    try:
        uvicorn.Server(_server_config(create_app(witness, logs), settings)).run()
    finally:
        store.close()


def _server_config(app: Starlette, settings: WitnessSettings) -> uvicorn.Config:
    tls = _tls_context(settings)
    return uvicorn.Config(
        app,
        host=settings.host,
        port=settings.port,
        http=PatientProtocol,
        ws="none",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        limit_concurrency=CONNECTIONS_MAX,
        timeout_keep_alive=KEEP_ALIVE_S,
        timeout_graceful_shutdown=5,
        ssl_context_factory=(lambda _config, _default: tls) if tls else None,
    )


def _tls_context(settings: WitnessSettings) -> ssl.SSLContext | None:
    """Follows its files: a renewed certificate is shown without a restart."""
    certificate, key = settings.tls_certificate_file, settings.tls_key_file
    if certificate is None or key is None:
        return None
    make = partial(public_context, certificate, key)
    return following(LiveFiles((certificate, key), make, SystemClock()).current)
