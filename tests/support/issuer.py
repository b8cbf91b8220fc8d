"""A stand-in for the admin module as other modules see it: signing keys and the registry.

It signs tokens as the real one does, and can be told to be away.
"""

import asyncio
import time
from collections.abc import Iterable, Sequence
from contextlib import AsyncExitStack
from typing import Any, Self
from uuid import uuid4

import orjson
from aiohttp import web
from joserfc import jwt
from joserfc.jwk import RSAKey
from tests.support.pki import Pki

from artstore.core.audit.receipts import PublicReceiptKey, thumbprint
from artstore.core.model.admission import AdmissionRules
from artstore.core.model.element import ElementEntry
from artstore.core.tls import server_context
from artstore.core.tokens import ALGORITHM, AUDIENCE, TOKEN_TYPE

ISSUER = "https://issuer.test"


class Issuer:
    """`async with Issuer(pki) as issuer:` it listens at `issuer.url`."""

    def __init__(self, pki: Pki) -> None:
        self._pki = pki
        self._key = RSAKey.generate_key(2048, {"kid": uuid4().hex, "use": "sig"}, private=True)
        self._stack = AsyncExitStack()
        self.elements: Sequence[ElementEntry] = ()
        self.rules = AdmissionRules()
        self.away = False
        self.takes_reports = True
        self.reports: list[dict[str, Any]] = []
        """What services told for the audit log."""
        self.rules_read = 0
        self.receipt_keys: list[PublicReceiptKey] = []
        """What services sign deposit receipts with."""
        self.url = ""

    async def __aenter__(self) -> Self:
        app = web.Application()
        app.router.add_get("/.well-known/jwks.json", self._jwks)
        app.router.add_get("/api/v1/storage-elements", self._registry)
        app.router.add_get("/api/v1/admission-rules", self._admission_rules)
        app.router.add_get("/api/v1/revocations/news", self._revocations)
        app.router.add_post("/api/v1/audit/reports", self._reports)
        app.router.add_post("/api/v1/receipt-keys", self._receipt_key)
        self.url = await self._stack.enter_async_context(listening(app, self._pki, "admin"))
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._stack.aclose()

    async def _jwks(self, _: web.Request) -> web.Response:
        if self.away:
            raise web.HTTPServiceUnavailable
        return web.json_response({"keys": [self._key.as_dict(private=False)]})

    async def _revocations(self, request: web.Request) -> web.Response:
        """Nothing was revoked; asked to wait, it waits."""
        if self.away:
            raise web.HTTPServiceUnavailable
        await asyncio.sleep(int(request.query["wait"]))
        return web.json_response({"revocations": [], "age_s": 0})

    async def _admission_rules(self, _: web.Request) -> web.Response:
        if self.away:
            raise web.HTTPServiceUnavailable
        self.rules_read += 1
        return web.json_response(text=self.rules.model_dump_json())

    async def _reports(self, request: web.Request) -> web.Response:
        if self.away or not self.takes_reports:
            raise web.HTTPServiceUnavailable
        self.reports += [orjson.loads(line) for line in (await request.read()).splitlines()]
        return web.Response(status=204)

    async def _receipt_key(self, request: web.Request) -> web.Response:
        if self.away:
            raise web.HTTPServiceUnavailable
        x, now = (await request.json())["x"], int(time.time())
        key = PublicReceiptKey(
            x=x, kid=thumbprint(x), iat=now, exp=now + 30 * 86400, service="ingester/ingester-1"
        )
        self.receipt_keys.append(key)
        return web.json_response(key.model_dump())

    async def _registry(self, request: web.Request) -> web.Response:
        """Two elements a page, as the real one with its hundred."""
        if self.away:
            raise web.HTTPServiceUnavailable
        after = request.query.get("cursor", "")
        found = sorted(
            (entry for entry in self.elements if entry.element_id > after),
            key=lambda entry: entry.element_id,
        )
        items = [entry.model_dump() for entry in found[:2]]
        cursor = items[-1]["element_id"] if len(found) > 2 else None
        return web.json_response({"items": items, "next_cursor": cursor})

    def token(self, scopes: Iterable[str] = ("files:read", "files:write"), **claims: Any) -> str:
        """An access token of the account `archivist`; `claims` replace those it would have."""
        now = int(time.time())
        payload = {
            "iss": ISSUER,
            "aud": AUDIENCE,
            "sub": "account-1",
            "name": "archivist",
            "scope": " ".join(scopes),
            "jti": uuid4().hex,
            "iat": now,
            "exp": now + 600,
            **claims,
        }
        header = {"alg": ALGORITHM, "typ": TOKEN_TYPE, "kid": self._key.kid}
        return jwt.encode(header, payload, self._key, algorithms=[ALGORITHM])


class listening:  # noqa: N801  reads as a statement: `async with listening(app, ...) as url`
    """An aiohttp application with the certificate of `module`, on a free port."""

    def __init__(self, app: web.Application, pki: Pki, module: str) -> None:
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        self._context = server_context(pki.files(module))

    async def __aenter__(self) -> str:
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0, ssl_context=self._context)
        await site.start()
        port = self._runner.addresses[0][1]
        return f"https://127.0.0.1:{port}"

    async def __aexit__(self, *_: object) -> None:
        await self._runner.cleanup()
