"""Where a mirror of revocations hears news: the admin module, and Valkey where it is configured.

Either one is enough. Both are followed at once, so that one may hang without anybody waiting.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from typing import Any, Final

from pydantic import ValidationError
from redis.asyncio import Redis
from redis.exceptions import RedisError

from artstore.core.errors import ArtStoreError, Unavailable
from artstore.core.http import Transport
from artstore.core.logging import get_logger
from artstore.core.remote import towards
from artstore.core.revocation import Revocation, RevocationMirror, RevocationNews
from artstore.core.secrets.chain import LoginSource, Secrets
from artstore.core.settings import ValkeyReaderSettings
from artstore.core.tls import TlsFiles
from artstore.core.valkey import valkey_client

STREAM: Final = "artstore:revocations"
"""An entry for each revocation, `<seq>-0`, with its JSON under `FIELD`. A stream and not a
channel: who was away reads on where it stopped, and nothing falls between two messages."""
HEAD: Final = "artstore:revocations:head"
"""Up to which seq the admin module saw the stream complete. Without it the stream proves nothing:
Valkey has lost its data."""
FIELD: Final = b"r"

LONG_POLL_S: Final = 2
BLOCK_MS: Final = 1000
ANSWER_MARGIN_S: Final = 2.0
RETRY_AFTER_S: Final = 0.25
ENTRIES_AT_ONCE_MAX: Final = 1000


async def follow_admin(mirror: RevocationMirror, transport: Transport, admin_url: str) -> None:
    """By long poll, until cancelled."""
    url = f"{admin_url.rstrip('/')}/api/v1/revocations/news"
    position = 0  # Of this source: the other may know numbers that this one never gave.

    async def listen() -> None:
        nonlocal position
        params = {"after": str(position), "wait": str(LONG_POLL_S)}
        if mirror.age_s > LONG_POLL_S:
            params["wait"] = "0"  # Somebody may be waiting for us to begin.
        timeout_s = LONG_POLL_S + ANSWER_MARGIN_S
        async with (
            asyncio.timeout(timeout_s),
            transport.request(
                "GET", url, peer="admin", params=params, timeout_s=timeout_s
            ) as response,
        ):
            news = RevocationNews.model_validate_json(await response.read())
        mirror.apply(news.revocations)
        mirror.confirm(news.age_s)
        position = max((each.seq for each in news.revocations), default=position)

    await _repeat("admin", listen)


async def follow_valkey(mirror: RevocationMirror, client: Redis) -> None:
    """By blocking reads, until cancelled. `client`: see `revocation_client`."""
    position = b"0-0"

    async def listen() -> None:
        nonlocal position
        answer = await client.xread({STREAM: position}, count=ENTRIES_AT_ONCE_MAX, block=BLOCK_MS)
        entries = _entries(answer)
        mirror.apply(Revocation.model_validate_json(fields[FIELD]) for _, fields in entries)
        if entries:
            position = entries[-1][0]
        head = await client.get(HEAD)
        if head is None or int(head) < mirror.head_seq:
            raise Unavailable("Valkey has lost revocations")
        if len(entries) < ENTRIES_AT_ONCE_MAX:
            mirror.confirm()

    await _repeat("valkey", listen)


def revocation_client(url: str, username: str, login: LoginSource, tls: TlsFiles | None) -> Redis:
    """A connection for `follow_valkey` alone: its reads block."""
    return valkey_client(url, username, login, tls, timeout_s=BLOCK_MS / 1000 + ANSWER_MARGIN_S)


@contextlib.asynccontextmanager
async def following(
    mirror: RevocationMirror,
    transport: Transport,
    admin_url: str,
    valkey: ValkeyReaderSettings,
    secrets: Secrets,
) -> AsyncIterator[None]:
    """Keeps the mirror of a module fresh for the length of the block."""
    async with contextlib.AsyncExitStack() as stack:
        tasks = [asyncio.create_task(follow_admin(mirror, transport, admin_url))]
        if valkey.valkey_url and valkey.valkey_username:
            login = secrets.login_source("valkey_password")
            tls = towards(valkey.tls, valkey.valkey_ca_file)
            client = revocation_client(valkey.valkey_url, valkey.valkey_username, login, tls)
            stack.push_async_callback(client.aclose)
            tasks.append(asyncio.create_task(follow_valkey(mirror, client)))
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)


def _entries(answer: Any) -> list[tuple[bytes, Mapping[bytes, bytes]]]:
    """RESP3 answers a map with one list of pages, RESP2 a list of pairs."""
    if not answer:
        return []
    if isinstance(answer, Mapping):
        return [entry for page in next(iter(answer.values())) for entry in page]
    entries: list[tuple[bytes, Mapping[bytes, bytes]]] = answer[0][1]
    return entries


async def _repeat(source: str, listen: Callable[[], Awaitable[None]]) -> None:
    log = get_logger()
    hears = True
    while True:
        try:
            await listen()
        except (ArtStoreError, RedisError, ValidationError, OSError, TimeoutError) as error:
            if hears:
                log.warning("no news of revocations", source=source, cause=repr(error))
            hears = False
            await asyncio.sleep(RETRY_AFTER_S)
        else:
            if not hears:
                log.info("news of revocations again", source=source)
            hears = True
