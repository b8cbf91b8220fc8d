"""Every route of every module, as its application has it. Nothing is started.

`python -m tests.support.module_routes` prints them. A process of its own (`all_routes`), since an
application sets up logging and telemetry for the whole of its process.
"""

import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from secrets import token_urlsafe
from typing import Any, cast

from fastapi import FastAPI
from starlette.routing import BaseRoute, Route

from artstore.admin.app import create_app as admin_app
from artstore.admin.settings import AdminSettings
from artstore.core.clock import SystemClock
from artstore.core.private_files import write_private
from artstore.core.secrets.openbao_settings import OpenBaoSettings
from artstore.core.secrets.starting import open_secrets
from artstore.ingester.app import create_app as ingester_app
from artstore.ingester.settings import IngesterSettings
from artstore.query.app import create_app as query_app
from artstore.query.settings import QuerySettings
from artstore.storage.app import create_app as storage_app
from artstore.storage.settings import StorageSettings

_COMMON: dict[str, Any] = {"profile": "development", "instance": "x-1", "port": 0}


def _settings(folder: Path) -> dict[str, Any]:
    secret = folder / "secret"
    write_private(secret, token_urlsafe(32))
    return _COMMON | {
        "database_url": "postgresql+psycopg://x@/x",
        "database_password_file": secret,
        "issuer": "https://x",
        "admin_url": "https://x",
        "valkey_url": "unix:///x",
        "valkey_username": "x",
        "valkey_password_file": secret,
        "key_encryption_key_file": secret,
        "audit_folder": folder,
        "element_id": "x",
        "root": folder,
    }


def _applications(folder: Path) -> dict[str, FastAPI]:
    settings = _settings(folder)
    query = QuerySettings(**settings)
    secrets = open_secrets(query, OpenBaoSettings(), "query", SystemClock())
    return {
        "admin": admin_app(AdminSettings(**settings), secrets),
        "ingester": ingester_app(IngesterSettings(**settings), secrets),
        "query": query_app(query, secrets),
        # The engine is for requests, and none comes.
        "storage": storage_app(StorageSettings(**settings), cast(Any, None)),
    }


def _routes_of(app: FastAPI) -> set[str]:
    """As `GET /api/v1/files/{file_id}`; a HEAD that goes with a GET is not told apart."""
    return {
        f"{method} {route.path}"
        for route in _plain(app.routes)
        for method in _told_apart(route.methods or {"GET"})
    }


def _told_apart(methods: set[str]) -> set[str]:
    return methods - {"HEAD"} if "GET" in methods else methods


def _plain(routes: list[BaseRoute]) -> Iterator[Route]:
    for route in routes:
        if isinstance(route, Route):
            yield route
        else:
            # FastAPI keeps an included router as one; its routes have their whole paths.
            yield from _plain(cast(Any, route).original_router.routes)


def all_routes() -> dict[str, set[str]]:
    """By module."""
    done = subprocess.run(
        [sys.executable, "-m", __name__], capture_output=True, text=True, check=True
    )
    return {
        module: set(routes) for module, routes in json.loads(done.stdout.splitlines()[-1]).items()
    }


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        found = {name: sorted(_routes_of(app)) for name, app in _applications(Path(folder)).items()}
    sys.stdout.write(json.dumps(found) + "\n")


if __name__ == "__main__":
    main()
