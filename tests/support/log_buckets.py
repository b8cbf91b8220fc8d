"""A real object store (SeaweedFS) with a bucket for a log."""

import contextlib
import json
import signal
import sys
import urllib.request
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from urllib.error import URLError

from obstore.store import ObjectStore, S3Store
from tests.support.module_process import free_port
from tests.support.processes import running

ACCESS_KEY, SECRET_KEY = "log", "log-secret"
IDENTITY = {
    "name": "log",
    "credentials": [{"accessKey": ACCESS_KEY, "secretKey": SECRET_KEY}],
    "actions": ["Admin", "Read", "Write", "List", "Tagging"],
}


@contextlib.contextmanager
def object_store(folder: Path) -> Iterator[str]:
    """Its endpoint."""
    (folder / "data").mkdir(parents=True)
    (folder / "s3.json").write_text(json.dumps({"identities": [IDENTITY]}))
    names = ("master", "volume", "filer", "s3")
    ports = {f"{name}.port{grpc}": free_port() for name in names for grpc in ("", ".grpc")}
    weed = Path(sys.executable).with_name("weed")
    options = {
        **ports,
        "dir": folder / "data",
        "ip": "127.0.0.1",
        "ip.bind": "127.0.0.1",
        "s3": "true",
        "s3.config": folder / "s3.json",
        "s3.port.iceberg": 0,
        "s3.port.lance": 0,
        "master.telemetry": "false",
        "master.volumeSizeLimitMB": 64,
        "volume.max": 20,
    }
    command = [str(weed), "server", *(f"-{name}={value}" for name, value in options.items())]
    endpoint = f"http://127.0.0.1:{ports['s3.port']}"
    # Asked to stop, it takes half a minute; nothing in it is needed any more.
    with running(command, lambda _: _answers(endpoint), folder / "output", signal.SIGKILL):
        yield endpoint


def bucket(endpoint: str, name: str = "log", prefix: str = "audit") -> ObjectStore:
    """Made by its first object."""
    return S3Store(
        name,
        prefix=prefix,
        endpoint=endpoint,
        access_key_id=ACCESS_KEY,
        secret_access_key=SECRET_KEY,
        region="us-east-1",
        client_options={"allow_http": True},
        retry_config={"max_retries": 1, "retry_timeout": timedelta(seconds=2)},
    )


def _answers(endpoint: str) -> bool:
    try:
        with urllib.request.urlopen(endpoint, timeout=1):
            return True
    except URLError as error:
        return getattr(error, "code", None) == 403
    except OSError:
        return False
