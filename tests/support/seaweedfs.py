"""A throw-away real SeaweedFS with its S3 interface.

Fixtures: `seaweedfs`, one server per session; `bucket_options`, an empty place in its bucket.
"""

import hashlib
import itertools
import json
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import psutil
import pytest
from tests.support.module_process import free_port, listens
from tests.support.processes import running, short_folder, wait_until

from artstore.core.clock import SystemClock
from artstore.storage.engine.backends.base import StoreAway
from artstore.storage.engine.backends.s3 import S3Options
from artstore.storage.engine.backends.s3_requests import Credentials, SignedRequests

CREDENTIALS = Credentials("artstore", hashlib.sha256(b"the store of the tests").hexdigest())
WEED = Path(sys.executable).with_name("weed")
_IDENTITIES = {
    "identities": [
        {
            "name": "artstore",
            "credentials": [
                {"accessKey": CREDENTIALS.access_key, "secretKey": CREDENTIALS.secret_key}
            ],
            "actions": ["Admin", "Read", "Write", "List", "Tagging"],
        }
    ]
}


@dataclass
class SeaweedFs:
    folder: Path
    ports: Mapping[str, int] = field(
        default_factory=lambda: {
            name: free_port()
            for part in ("master", "volume", "filer", "s3")
            for name in (f"{part}.port", f"{part}.port.grpc")
        }
    )
    pid: int = 0

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self.ports['s3.port']}"

    def command(self) -> list[str]:
        """Run in `folder`: there `weed` looks for the settings of its filer."""
        identities = self.folder / "identities.json"
        identities.write_text(json.dumps(_IDENTITIES))
        (self.folder / "data").mkdir(exist_ok=True)
        program = [
            str(WEED),
            "server",
            f"-dir={self.folder / 'data'}",
            "-ip=127.0.0.1",
            # Without it some of its ports listen everywhere, without asking who is there.
            "-ip.bind=127.0.0.1",
            "-master.telemetry=false",
            "-master.volumeSizeLimitMB=64",
            "-volume.max=100",
            "-filer",
            "-s3",
            f"-s3.config={identities}",
            "-s3.port.iceberg=0",
            "-s3.port.lance=0",
            *(f"-{name}={port}" for name, port in self.ports.items()),
        ]
        return ["env", "-C", str(self.folder), *program]

    def answers(self) -> bool:
        if not listens(self.ports["s3.port"]):
            return False
        try:
            return self.requests("no-such-bucket").send("GET").status < 500
        except StoreAway:
            return False

    def requests(self, bucket: str) -> SignedRequests:
        return SignedRequests(
            endpoint=self.endpoint,
            bucket=bucket,
            region="us-east-1",
            credentials=CREDENTIALS,
            timeout_s=10,
            clock=SystemClock(),
        )

    def options(self, bucket: str, prefix: str = "") -> S3Options:
        return S3Options(
            endpoint=self.endpoint,
            bucket=bucket,
            prefix=prefix,
            region="us-east-1",
            credentials=CREDENTIALS,
            capacity_bytes=1 << 40,
            concurrency=16,
            # A traced server on a busy machine takes its time.
            timeout_s=20,
        )

    def make_bucket(self, name: str) -> None:
        """Retried: a server that has just started has no volume to write to yet."""

        def is_made() -> bool:
            try:
                return self.requests(name).send("PUT").status == 200
            except StoreAway:
                return False

        wait_until(is_made, f"bucket {name}")

    def delete_bucket(self, name: str) -> None:
        self.shell(f"s3.bucket.delete -name {name}")

    def shell(self, line: str) -> str:
        master = f"127.0.0.1:{self.ports['master.port']}.{self.ports['master.port.grpc']}"
        done = subprocess.run(
            [WEED, "shell", f"-master={master}"],
            input=line,
            capture_output=True,
            text=True,
            timeout=60,
            check=True,
        )
        return done.stdout

    def kill(self) -> None:
        process = psutil.Process(self.pid)
        process.kill()
        process.wait()


@contextmanager
def seaweedfs_process(folder: Path, known: SeaweedFs | None = None) -> Iterator[SeaweedFs]:
    """Args: `known`: one that ran in this folder before, to have its ports again."""
    weed = known or SeaweedFs(folder)
    with running(
        weed.command(), lambda _: weed.answers(), folder / "weed.log", signal.SIGKILL
    ) as process:
        weed.pid = process.pid
        yield weed


@pytest.fixture(scope="session")
def seaweedfs() -> Iterator[SeaweedFs]:
    with short_folder() as folder, seaweedfs_process(folder) as weed:
        yield weed


@pytest.fixture(scope="session")
def bucket(seaweedfs: SeaweedFs) -> str:
    """For all who have a prefix of their own: each bucket costs the server volumes."""
    seaweedfs.make_bucket("elements")
    return "elements"


@pytest.fixture(scope="session")
def prefixes() -> Iterator[str]:
    return (f"tests/{number}" for number in itertools.count(1))


@pytest.fixture
def bucket_options(seaweedfs: SeaweedFs, bucket: str, prefixes: Iterator[str]) -> S3Options:
    """An empty place in the bucket."""
    return seaweedfs.options(bucket, next(prefixes))
