"""How many small files per second one storage element makes durable, sent in batches.

    python -m benchmarks.storage_batch [--seconds 10] [--connections 4] [--files 64] [--bytes 4096]

`POST /files:batch`, one process, TLS off; beside it the same files one by one, in the same run.
"""

import argparse
import json
import os
import tempfile
from collections.abc import Callable
from pathlib import Path

from artstore.core.model.batch import BATCH_TYPE, pack_file
from artstore.core.model.ids import FileId
from benchmarks._load import (
    DRAFT,
    Load,
    NewRequest,
    element,
    helper_cpu_s,
    metrics,
    put_request,
    run_load,
)

SINGLE_CONNECTIONS = 64


def batch_request(size: int, count: int) -> NewRequest:
    head = json.dumps({**DRAFT, "size": size}).encode()
    content = os.urandom(size)

    def request(new_id: Callable[[], FileId]) -> bytes:
        body = b"".join(pack_file(new_id(), head, None, content) for _ in range(count))
        lines = (
            f"POST /api/v1/files:batch HTTP/1.1\r\nHost: element\r\nContent-Type: {BATCH_TYPE}\r\n"
            f"Content-Length: {len(body)}\r\n\r\n"
        )
        return lines.encode() + body

    return request


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=10)
    parser.add_argument("--connections", type=int, default=4)
    parser.add_argument("--files", type=int, default=64)
    parser.add_argument("--bytes", type=int, default=4096)
    parser.add_argument("--port", type=int, default=18920)
    parser.add_argument("--folder", type=Path, default=Path(tempfile.gettempdir()))
    parser.add_argument("--keep", action="store_true", help="delete the files yourself, later")
    options = parser.parse_args()
    single = Load(put_request(options.bytes), b"201", SINGLE_CONNECTIONS, options.seconds)
    batches = Load(
        batch_request(options.bytes, options.files),
        b"200",
        options.connections,
        options.seconds,
        options.files,
    )
    with element(options.folder, options.port, keep=options.keep) as pid:
        rates = []
        for name, load in (("batches", batches), ("one by one", single)):
            before = metrics(options.port)["process_cpu_seconds_total"]
            helper_before_s = helper_cpu_s(pid)
            measured = run_load(options.port, load)
            cpu_s = metrics(options.port)["process_cpu_seconds_total"] - before
            helper_s = helper_cpu_s(pid) - helper_before_s
            files = measured.requests * load.files
            rates.append(files / measured.seconds)
            print(f"{name}: {rates[-1]:.0f} durable files/s", end=", ")
            print(f"requests p50 {measured.p50_ms:.1f} ms, p99 {measured.p99_ms:.1f} ms", end=", ")
            print(f"CPU {cpu_s / files * 1e6:.0f} us per file, helper", end=" ")
            print(f"{helper_s / files * 1e6:.0f} us")
        print(f"ratio {rates[0] / rates[1]:.2f}")


if __name__ == "__main__":
    main()
