"""How many small files per second an element on S3 makes durable, beside what the store can do.

    python -m benchmarks.storage_on_s3 [--seconds 15] [--connections 64] [--bytes 4096]

Starts a SeaweedFS (without flushing), and an element on it. Before and after, as many clients
put two objects per file, content and record, straight to the store: the ratio says what the
log, the listing for ids that exist and the order of writes cost.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import obstore
from obstore.store import S3Store

from artstore.core.clock import SystemClock
from artstore.storage.engine.backends.base import StoreAway
from artstore.storage.engine.backends.s3 import S3Options, s3_store
from artstore.storage.engine.backends.s3_requests import Credentials, SignedRequests
from benchmarks._load import Load, element, put_request, run_load

BARE_S = 4.0
RECORD = b"r" * 900
KEYS = Credentials("bench", "bench-secret")
PARTS = ("master", "volume", "filer", "s3")


def options_of(port: int) -> S3Options:
    return S3Options(
        endpoint=f"http://127.0.0.1:{port}",
        bucket="bench",
        prefix="",
        region="us-east-1",
        credentials=KEYS,
        capacity_bytes=1 << 40,
        concurrency=32,
        timeout_s=15,
    )


@contextmanager
def seaweedfs(folder: Path, port: int) -> Iterator[S3Options]:
    """Uses eight ports from `port` on; S3 is at `port` + 6."""
    ports = [f"-{part}.port={port + 2 * n}" for n, part in enumerate(PARTS)]
    ports += [f"-{part}.port.grpc={port + 2 * n + 1}" for n, part in enumerate(PARTS)]
    identities = folder / "identities.json"
    identities.write_text(
        '{"identities":[{"name":"bench","actions":["Admin","Read","Write","List"],'
        f'"credentials":[{{"accessKey":"{KEYS.access_key}","secretKey":"{KEYS.secret_key}"}}]}}]}}'
    )
    program = [str(Path(sys.executable).with_name("weed")), "server", f"-dir={folder}"]
    program += ["-ip=127.0.0.1", "-ip.bind=127.0.0.1", "-filer", "-s3", f"-s3.config={identities}"]
    program += ["-s3.port.iceberg=0", "-s3.port.lance=0", "-master.telemetry=false"]
    with (folder / "weed.log").open("wb") as log:
        process = subprocess.Popen([*program, *ports], stdout=log, stderr=log, cwd=folder)
    try:
        options = options_of(port + 6)
        _make_bucket(options)
        yield options
    finally:
        process.kill()
        process.wait()


def _make_bucket(options: S3Options) -> None:
    requests = SignedRequests(
        endpoint=options.endpoint,
        bucket=options.bucket,
        region=options.region,
        credentials=KEYS,
        timeout_s=10,
        clock=SystemClock(),
    )
    for _ in range(300):
        try:
            if requests.send("PUT").status == 200:
                return
        except StoreAway:
            pass
        time.sleep(0.1)
    raise SystemExit("SeaweedFS does not answer")


def bare(store: S3Store, options: argparse.Namespace) -> float:
    """Files per second, of two objects each."""
    content = os.urandom(options.bytes)
    deadline_s = time.monotonic() + BARE_S
    run = os.urandom(4).hex()

    def work(worker: int) -> int:
        count = 0
        while time.monotonic() < deadline_s:
            obstore.put(store, f"bare/{run}/{worker}/{count}.pdf", content)
            obstore.put(store, f"bare/{run}/{worker}/{count}.attr.json", RECORD)
            count += 1
        return count

    with ThreadPoolExecutor(options.connections) as pool:
        return sum(pool.map(work, range(options.connections))) / BARE_S


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=15)
    parser.add_argument("--connections", type=int, default=64)
    parser.add_argument("--bytes", type=int, default=4096)
    parser.add_argument("--port", type=int, default=18930)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name, seaweedfs(Path(name), options.port + 1) as s3:
        store = s3_store(s3)
        before = bare(store, options)
        for part, value in KEYS._asdict().items():
            path = Path(name) / part
            path.touch(0o600)
            path.write_text(value)
            os.environ[f"ARTSTORE_S3_{part.upper()}_FILE"] = str(path)
        os.environ |= {
            "ARTSTORE_BACKEND": "s3",
            "ARTSTORE_S3_ENDPOINT": s3.endpoint,
            "ARTSTORE_S3_BUCKET": s3.bucket,
        }
        with element(Path(tempfile.gettempdir()), options.port, keep=False):
            load = Load(put_request(options.bytes), b"201", options.connections, options.seconds)
            measured = run_load(options.port, load)
        after = bare(store, options)
    print(f"{measured.per_s:.0f} durable uploads/s", end=", ")
    print(f"latency p50 {measured.p50_ms:.1f} ms, p99 {measured.p99_ms:.1f} ms")
    print(f"bare store {before:.0f} before, {after:.0f} after", end="; ")
    print(f"ratio {measured.per_s / ((before + after) / 2):.2f}")


if __name__ == "__main__":
    main()
