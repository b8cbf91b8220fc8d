"""How fast one storage element takes large files, compared with `dd conv=fdatasync`.

    python -m benchmarks.storage_large_file [--mib 1024] [--rounds 3]

One process, TLS off. dd and the upload take turns on the same disk with the same bytes; the
ratio is that of the medians. Files stay until the end.
"""

import argparse
import hashlib
import json
import os
import socket
import subprocess
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path
from statistics import median

from artstore.core.model.ids import FileIdSource
from benchmarks._load import DRAFT, element, metrics

MIB = 1 << 20
MEMORY = Path("/dev/shm")


def make_source(size_mib: int) -> tuple[Path, str]:
    """Bytes that do not repeat, in memory, and their sha256."""
    handle, name = tempfile.mkstemp(prefix="artstore-bench-", dir=MEMORY)
    digest = hashlib.sha256()
    with os.fdopen(handle, "wb") as file:
        for _ in range(size_mib):
            block = os.urandom(MIB)
            digest.update(block)
            file.write(block)
    return Path(name), digest.hexdigest()


def dd_s(source: Path, target: Path) -> float:
    command = ["dd", f"if={source}", f"of={target}", "bs=1M", "conv=fdatasync"]
    started_s = time.perf_counter()
    subprocess.run(command, check=True, capture_output=True)
    return time.perf_counter() - started_s


def upload_s(port: int, source: Path, sha256: str, ids: FileIdSource) -> float:
    file_id = ids.new(datetime.now(UTC), os.urandom(10))
    size = source.stat().st_size
    head = json.dumps({**DRAFT, "size": size, "expected_sha256": sha256}).encode()
    lines = (
        f"PUT /api/v1/files/{file_id} HTTP/1.1\r\nHost: element\r\n"
        f"Content-Type: application/vnd.artstore.file\r\n"
        f"Content-Length: {4 + len(head) + size}\r\nConnection: close\r\n\r\n"
    )
    started_s = time.perf_counter()
    with socket.create_connection(("127.0.0.1", port)) as connection, source.open("rb") as file:
        connection.sendall(lines.encode() + len(head).to_bytes(4) + head)
        connection.sendfile(file)
        answer = b""
        while piece := connection.recv(65536):
            answer += piece
    if not answer.startswith(b"HTTP/1.1 201"):
        raise SystemExit(answer.decode())
    return time.perf_counter() - started_s


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--mib", type=int, default=1024)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--port", type=int, default=18930)
    parser.add_argument("--folder", type=Path, default=Path(tempfile.gettempdir()))
    options = parser.parse_args()
    source, sha256 = make_source(options.mib)
    ids = FileIdSource()
    disk: list[float] = []
    uploads: list[float] = []
    try:
        with (
            tempfile.TemporaryDirectory(dir=options.folder) as beside,
            element(options.folder, options.port, keep=False),
        ):
            before = metrics(options.port)["process_cpu_seconds_total"]
            for number in range(options.rounds):
                disk.append(options.mib / dd_s(source, Path(beside) / f"{number}"))
                uploads.append(options.mib / upload_s(options.port, source, sha256, ids))
            cpu_s = metrics(options.port)["process_cpu_seconds_total"] - before
    finally:
        source.unlink()
    print("dd conv=fdatasync MiB/s:", " ".join(f"{rate:.0f}" for rate in disk))
    print("element           MiB/s:", " ".join(f"{rate:.0f}" for rate in uploads))
    cpu_ms = cpu_s / options.rounds / options.mib * 1000
    print(f"ratio of the medians: {median(uploads) / median(disk):.2f}", end="; ")
    print(f"CPU of the element {cpu_ms:.2f} ms per MiB")


if __name__ == "__main__":
    main()
