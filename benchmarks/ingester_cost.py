"""What a small upload costs the ingester's own code: CPU time, without sockets, TLS and disks.

    python -m benchmarks.ingester_cost [--connections 64] [--rounds 60] > /dev/null

Needs nothing running; what goes to stdout is the log of the requests. These go as bytes into
connections of the server and come out as bytes; the element is a stand-in that says what an element
says of the files it was sent. Prints microseconds of CPU of the event loop for a file: the least
and the median of rounds of some hundred. Beside other work the least is nearer to what it costs
undisturbed; compare two versions by turns.

Left out: some 15 us of TLS and parsing for each request, and the call to an element
(`benchmarks.call_cost`), which the files of a batch share.
"""

import argparse
import asyncio
import sys
import time
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from statistics import median
from typing import Any, cast

import uvloop
from fastapi import FastAPI
from uvicorn.server import ServerState

from artstore.core.audit.receipts import PublicReceiptKey, thumbprint
from artstore.core.clock import SystemClock
from artstore.core.http import Transport
from artstore.core.model.account import Caller, Scope
from artstore.core.model.admission import AdmissionRules
from artstore.core.model.batch import BatchDraft, BatchFile, split_batch
from artstore.core.model.element import StorageMode
from artstore.core.model.file import FileRecord
from artstore.core.model.ids import FileId
from artstore.core.recording.receipts import ReceiptIssuer
from artstore.core.revocation import RevocationMirror
from artstore.core.secrets.chain import Secrets
from artstore.core.tls import PeerIdentity
from artstore.core.tokens import TokenVerifier
from artstore.core.web.connection import Connection
from artstore.core.web.server import _collect_garbage_less, server_config
from artstore.ingester.app import create_app
from artstore.ingester.dependencies import Ingester
from artstore.ingester.services.batching import Batching
from artstore.ingester.services.delivery import Elements
from artstore.ingester.services.detection import Detector
from artstore.ingester.services.inspection import Inspector
from artstore.ingester.services.intake import Earlier, Intake
from artstore.ingester.services.placement import ElementReport, Placement
from artstore.ingester.services.rules import CachedRules
from artstore.ingester.services.scanning import Scanning
from artstore.ingester.settings import IngesterSettings
from benchmarks._stack import pdf, upload_request

TOKEN = "x" * 900
CONTENT_BYTES = 4096
REQUESTS_A_ROUND = 640
ISSUER = "https://archive.example"
EDGE = PeerIdentity("edge", "edge-1")


class Element:
    """In place of the calls to one. It reads one draft; the other files are like that one."""

    def __init__(self) -> None:
        self._line = b""
        self._first_id = b""

    async def exchange(self, _: str, url: str, *, body: bytes, **__: Any) -> bytes:
        await asyncio.sleep(0)
        assert url.endswith(":batch"), "a batch of one file would be another measurement"
        files = split_batch(body)
        if not self._line:
            self._first_id = files[0].file_id.encode()
            self._line = self._line_for(files[0])
        ids = (file.file_id.encode() for file in files)
        return b"".join(self._line.replace(self._first_id, file_id) for file_id in ids)

    def _line_for(self, file: BatchFile) -> bytes:
        record = FileRecord.first(
            BatchDraft.model_validate_json(file.head),
            file_id=FileId(file.file_id),
            size=len(file.content),
            sha256="0" * 64,
            now=datetime.now(UTC),
        )
        return b'{"status":201,"record":%b}\n' % record.to_json()[:-1]


class Directory:
    """One element that takes everything."""

    def reports(self) -> Sequence[ElementReport]:
        return [ElementReport("edit-1", "https://edit-1", 1, StorageMode.EDIT, True, True, 1 << 40)]

    def failed(self, element_id: str) -> None: ...
    def worked(self, element_id: str) -> None: ...


class Rules:
    async def admission_rules(self) -> AdmissionRules:
        return AdmissionRules()


class Wire:
    """A transport that only counts answers."""

    def __init__(self, answers: "Answers") -> None:
        self._answers = answers

    def get_extra_info(self, _: str) -> None: ...
    def is_closing(self) -> bool:
        return False

    def write(self, data: bytes) -> None:
        assert data.startswith(b"HTTP/1.1 201 "), data
        self._answers.came()


class Answers:
    def __init__(self) -> None:
        self._missing = 0
        self._all = asyncio.Event()

    def expect(self, number: int) -> None:
        self._missing = number
        self._all.clear()

    def came(self) -> None:
        self._missing -= 1
        if not self._missing:
            self._all.set()

    async def wait(self) -> None:
        await self._all.wait()


async def ingester(settings: IngesterSettings) -> FastAPI:
    app = create_app(settings, Secrets((), SystemClock()))
    clock = SystemClock()
    revocations = RevocationMirror(clock, 3600)
    revocations.confirm()
    app.state.tokens = TokenVerifier(cast(Any, None), ISSUER, clock, revocations)
    now = clock.now()
    caller = Caller(
        subject="0190f0e0-aaaa-7bbb-8ccc-1234567890ab",
        name="bench",
        scopes=frozenset(Scope),
        token_id="t" * 22,
        issued_at=now,
        expires_at=now + timedelta(hours=1),
    )
    app.state.tokens._verified[TOKEN] = caller  # noqa: SLF001  to sign one takes a key set
    rules = CachedRules(Rules(), clock, 1)
    await rules.refresh()
    elements = Elements(cast(Transport, Element()), admin_url="https://admin", timeout_s=30)
    directory = Directory()
    intake = Intake(
        Placement(directory),
        Batching(elements),
        clock,
        rules=rules,
        inspector=Inspector(Detector(), Scanning(None, clock)),
        earlier=Earlier(directory, elements, clock),
    )
    receipts = ReceiptIssuer(register, ISSUER, clock)
    await receipts._renew()  # noqa: SLF001  as its job does
    app.state.ingester = Ingester(settings, clock, intake, cast(Any, None), rules, receipts)
    return app


async def register(public_x: str) -> PublicReceiptKey:
    until = int(time.time()) + 3600
    return PublicReceiptKey(x=public_x, kid=thumbprint(public_x), iat=0, exp=until, service="a/b")


async def measure(connections: int, rounds: int) -> None:
    settings = IngesterSettings(
        profile="development", instance="ingester-1", issuer=ISSUER, admin_url="https://admin"
    )
    app = await ingester(settings)
    app.middleware_stack = app.build_middleware_stack()
    config = server_config(app, settings)
    config.load()
    answers = Answers()
    peers = []
    for _ in range(connections):
        peer = Connection(config, ServerState(), {})
        peer.connection_made(cast(asyncio.Transport, Wire(answers)))
        peer._peer = EDGE  # noqa: SLF001  as TLS tells
        peers.append(peer)
    request = upload_request(TOKEN, pdf(CONTENT_BYTES))
    _collect_garbage_less()
    costs = []
    for _ in range(rounds):
        began_s = time.thread_time()
        for _ in range(REQUESTS_A_ROUND // connections):
            answers.expect(connections)
            for peer in peers:
                peer.data_received(request)
            await answers.wait()
        files = REQUESTS_A_ROUND // connections * connections
        costs.append((time.thread_time() - began_s) / files * 1e6)
    found = f"least {min(costs):.0f} us, median {median(costs):.0f} us"
    print(f"{connections} connections: {found}", file=sys.stderr)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--connections", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=60)
    options = parser.parse_args()
    uvloop.run(measure(options.connections, options.rounds))


if __name__ == "__main__":
    main()
