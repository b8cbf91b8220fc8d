"""Every route that the modules have, as their applications say it.

`python -m tests.support.routes` prints them; a process of its own, because an application sets up
logging and telemetry for the whole process.
"""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from fastapi import FastAPI

from artstore.core.clock import SystemClock
from artstore.core.secrets.chain import Secrets


def routes() -> list[tuple[str, str, str]]:
    """Module, method and path template."""
    command = [sys.executable, "-m", "tests.support.routes"]
    done = subprocess.run(
        command, capture_output=True, text=True, check=True, cwd=Path(__file__).parents[2]
    )
    last = done.stdout.splitlines()[-1]
    return [(module, method, path) for module, method, path in json.loads(last)]


def _applications() -> Iterator[tuple[str, FastAPI]]:
    from artstore.admin import app as admin
    from artstore.admin.settings import AdminSettings
    from artstore.ingester import app as ingester
    from artstore.ingester.settings import IngesterSettings
    from artstore.query import app as query
    from artstore.query.settings import QuerySettings
    from artstore.storage import app as storage
    from artstore.storage.settings import StorageSettings

    nowhere = Path("/nonexistent")
    tls = {f"tls_{name}_file": nowhere for name in ("certificate", "key", "ca")}
    common: dict[str, Any] = {"instance": "x-1", "port": 1, "issuer": "https://x", **tls}
    common["admin_url"] = "https://x"
    data: dict[str, Any] = {"database_url": "postgresql+psycopg://a@/b"}
    valkey: dict[str, Any] = {"valkey_url": "unix:///x", "valkey_username": "x"}
    secrets = Secrets([], SystemClock())
    yield "ingester", ingester.create_app(IngesterSettings(**common), secrets)
    yield "query", query.create_app(QuerySettings(**common, **data), secrets)
    settings = AdminSettings(**common, **data, **valkey, audit_folder=nowhere)
    yield "admin", admin.create_app(settings, secrets)
    own: dict[str, Any] = {"element_id": "edit-1", "root": nowhere}
    yield "storage", storage.create_app(StorageSettings(**common, **own), None)  # type: ignore[arg-type]


def _found(routes: Any, prefix: str = "") -> Iterator[tuple[str, str]]:
    for route in routes:
        inner = getattr(route, "original_router", None)
        if inner is not None:
            yield from _found(inner.routes, prefix)
            continue
        for method in sorted(route.methods or {"GET"}):
            yield method, prefix + route.path


if __name__ == "__main__":
    every = [
        (module, method, path)
        for module, app in _applications()
        for method, path in dict.fromkeys(_found(app.routes))
    ]
    sys.stdout.write(json.dumps(every) + "\n")
