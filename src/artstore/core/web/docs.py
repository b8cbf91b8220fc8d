"""The interactive pages of the API, in development only.

The only page that a module answers with, so the only one that runs scripts: those with the nonce
of this one answer, and the bundle that the page is made of.
"""

import secrets
from typing import Final

from fastapi import FastAPI
from fastapi.openapi.docs import get_swagger_ui_html
from starlette.requests import Request
from starlette.responses import HTMLResponse

from artstore.core.web.safe_headers import POLICY

NONCE_BYTES: Final = 16
BUNDLE: Final = "https://cdn.jsdelivr.net"


def add_docs_page(app: FastAPI, path: str, schema: str) -> None:
    async def page(_: Request) -> HTMLResponse:
        nonce = secrets.token_urlsafe(NONCE_BYTES)
        made = get_swagger_ui_html(openapi_url=schema, title=app.title)
        html = bytes(made.body).decode().replace("<script>", f'<script nonce="{nonce}">')
        return HTMLResponse(html, headers={POLICY: _policy(nonce)})

    app.add_route(path, page, include_in_schema=False)


def _policy(nonce: str) -> str:
    return "; ".join(
        (
            "default-src 'none'",
            f"script-src 'nonce-{nonce}' {BUNDLE}",
            f"style-src 'unsafe-inline' {BUNDLE}",
            "img-src 'self' data: https://fastapi.tiangolo.com",
            "connect-src 'self'",
            "base-uri 'none'",
            "frame-ancestors 'none'",
        )
    )
