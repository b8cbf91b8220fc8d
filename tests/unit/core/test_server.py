"""What the server keeps of a request that it has answered."""

import asyncio
import gc
import weakref
from collections.abc import Iterator
from unittest.mock import Mock

import pytest
from starlette.types import Message, Receive, Scope, Send
from uvicorn.server import ServerState

from artstore.core.web.hot import ARRIVED_EXTENSION
from artstore.core.web.server import PeerProtocol, ServerConfig

REQUEST = b"POST /api/v1/files HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nbytes"


async def application(scope: Scope, _: Receive, send: Send) -> None:
    assert scope["extensions"][ARRIVED_EXTENSION]() == b"bytes"
    head: Message = {"type": "http.response.start", "status": 201}
    await send({**head, "headers": [(b"content-length", b"6")]})
    await send({"type": "http.response.body", "body": b"stored"})


@pytest.mark.usefixtures("_no_collector")
async def test_nothing_is_left_to_the_collector() -> None:
    config = ServerConfig(application, http=PeerProtocol, ws="none", log_config=None)
    config.load()
    protocol = PeerProtocol(config, ServerState(), app_state={})
    transport = Mock(asyncio.Transport)
    transport.is_closing.return_value = False
    transport.get_extra_info.return_value = None
    protocol.connection_made(transport)

    cycles = []
    for _ in range(3):
        protocol.data_received(REQUEST)
        cycles.append(weakref.ref(protocol.cycle))
        await asyncio.gather(*protocol.tasks)

    assert transport.write.call_count == 3
    # The protocol itself holds the last.
    assert [cycle() is None for cycle in cycles] == [True, True, False]
    protocol.connection_lost(None)


@pytest.fixture
def _no_collector() -> Iterator[None]:
    gc.collect()
    gc.disable()
    yield
    gc.enable()
