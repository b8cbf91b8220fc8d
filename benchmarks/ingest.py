"""How fast documents come in, beside SeaweedFS on the same disk in the same run.

    python -m benchmarks.ingest [--rounds 3] [--seconds 8] [--large-mib 1024] [--only small,lone]

ArtStore: the complete path, with a token, check of the type, log, file and attr.json, receipt, and
the catalogue and audit that follow; straight to the ingester over mutual TLS, or as an ordinary
user through the edge. SeaweedFS: S3 over plain HTTP, no authentication, `-fsync` on its bucket.
They run in turn, round by round; the figures are medians, the ratios those of the medians.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from urllib.parse import urlsplit

from artstore.core.tls import server_name
from benchmarks._load import Load, Measured, run_load
from benchmarks._stack import RunningStack, cost_text, pdf, running_stack, upload_request

KIB = 1 << 10
MIB = 1 << 20
SMALL = ((4 * KIB, 64), (4 * KIB, 16), (64 * KIB, 64))
"""Bytes and connections."""
PARTS = ("master", "volume", "filer", "s3")
BUCKET = "bench"


class Weed:
    """Our peer. `url` is that of its bucket."""

    name = "SeaweedFS"

    def __init__(self, port: int) -> None:
        self.port = port
        self.url = f"http://127.0.0.1:{port}/{BUCKET}"

    def load(self, size: int, connections: int, seconds: float) -> Load:
        content = os.urandom(size)
        end = f"Host: weed\r\nContent-Length: {size}\r\n\r\n".encode() + content
        return Load(
            lambda new_id: b"PUT /%b/%b HTTP/1.1\r\n%b" % (BUCKET.encode(), new_id().encode(), end),
            b"200",
            connections,
            seconds,
        )

    def put_large(self, path: Path) -> None:
        curl("-T", str(path), f"{self.url}/large-{os.urandom(4).hex()}")


class ArtStore:
    def __init__(self, stack: RunningStack, *, through_edge: bool, unknown: bool) -> None:
        self.name = "edge" if through_edge else "ingester"
        self._through_edge = through_edge
        self._unknown = unknown
        self._stack = stack
        edge_port = urlsplit(stack.edge_url).port
        assert edge_port
        self.port = edge_port if through_edge else stack.port("ingester-1")

    def load(self, size: int, connections: int, seconds: float) -> Load:
        content = os.urandom(size) if self._unknown else pdf(size)
        request = upload_request(self._stack.token(), content)
        return Load(
            lambda _: request,
            b"201",
            connections,
            seconds,
            tls=self._stack.tls(with_certificate=not self._through_edge),
            server_name="127.0.0.1" if self._through_edge else server_name("ingester"),
        )

    def put_large(self, path: Path) -> None:
        files = self._stack.edge_certificate
        host = f"127.0.0.1:{self.port}"
        options = ["--cacert", str(files.ca)]
        if not self._through_edge:
            name = server_name("ingester")
            host = f"{name}:{self.port}"
            options += ["--cert", str(files.certificate), "--key", str(files.key)]
            options += ["--resolve", f"{host}:127.0.0.1"]
        options += ["-H", f"Authorization: Bearer {self._stack.token()}", "-X", "POST"]
        options += ["-H", "Content-Type: application/octet-stream", "-T", str(path)]
        curl(*options, f"https://{host}/api/v1/files?filename=large.bin")


System = Weed | ArtStore


def curl(*options: str) -> None:
    subprocess.run(["curl", "-sS", "--fail", "-o", os.devnull, *options], check=True)


@contextmanager
def weed(folder: Path, port: int) -> Iterator[Weed]:
    """Uses eight ports from `port` on."""
    (folder / "data").mkdir()
    command = [weed_program(), "server", f"-dir={folder / 'data'}", "-ip=127.0.0.1"]
    command += ["-ip.bind=127.0.0.1", "-filer", "-s3", "-s3.port.iceberg=0", "-s3.port.lance=0"]
    command += ["-master.telemetry=false", "-volume.max=100"]
    command += [f"-{part}.port={port + 2 * n}" for n, part in enumerate(PARTS)]
    command += [f"-{part}.port.grpc={port + 2 * n + 1}" for n, part in enumerate(PARTS)]
    with (folder / "weed.log").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log, cwd=folder)
    try:
        peer = Weed(port + 6)
        until_it_works(lambda: put(peer.url))
        configure = f"fs.configure -locationPrefix=/buckets/{BUCKET}/ -fsync=true -apply\n"
        subprocess.run(
            [weed_program(), "shell", f"-master=127.0.0.1:{port}.{port + 1}"],
            input=configure.encode(),
            check=True,
            capture_output=True,
            cwd=folder,
        )
        until_it_works(lambda: put(f"{peer.url}/probe"))
        yield peer
    finally:
        process.kill()
        process.wait()


def weed_program() -> str:
    return str(Path(sys.executable).with_name("weed"))


def put(url: str) -> None:
    with urllib.request.urlopen(urllib.request.Request(url, b"x", method="PUT"), timeout=10):
        pass


def until_it_works(work: Callable[[], None]) -> None:
    deadline_s = time.monotonic() + 60
    while True:
        try:
            work()
        except (urllib.error.URLError, OSError):
            if time.monotonic() > deadline_s:
                raise
            time.sleep(0.2)
        else:
            return


def small(systems: list[System], stack: RunningStack, options: argparse.Namespace) -> None:
    for size, connections in SMALL:
        found: dict[str, list[Measured]] = defaultdict(list)
        costs: dict[str, str] = {}
        for _ in range(options.rounds):
            for system in systems:
                before = stack.cpu_s()
                load = system.load(size, connections, options.seconds)
                measured = run_load(system.port, load)
                found[system.name].append(measured)
                if isinstance(system, ArtStore):
                    costs[system.name] = cost_text(before, stack.cpu_s(), measured.requests)
        peer = median(each.per_s for each in found[Weed.name])
        print(f"\n{size // KIB} KiB, {connections} connections, files/s")
        for name, rounds in found.items():
            rate = median(each.per_s for each in rounds)
            p99_ms = median(each.p99_ms for each in rounds)
            seen = " ".join(f"{each.per_s:.0f}" for each in rounds)
            print(f"  {name:10} {rate:6.0f}  x {rate / peer:.2f}  p99 {p99_ms:.1f} ms  ({seen})")
        for name, cost in costs.items():
            print(f"  CPU us per file through {name}: {cost}")


def lone(systems: list[System], options: argparse.Namespace) -> None:
    print("\n4 KiB, one at a time")
    for system in systems:
        rounds = [
            run_load(system.port, system.load(4 * KIB, 1, options.seconds))
            for _ in range(options.rounds)
        ]
        p50_ms, p99_ms = (
            median(getattr(each, part) for each in rounds) for part in ("p50_ms", "p99_ms")
        )
        print(f"  {system.name:10} p50 {p50_ms:.1f} ms, p99 {p99_ms:.1f} ms")


def large(systems: list[System], folder: Path, options: argparse.Namespace) -> None:
    source = folder / "large.bin"
    with source.open("wb") as file:
        for _ in range(options.large_mib):
            file.write(os.urandom(MIB))
        os.fsync(file.fileno())
    found: dict[str, list[float]] = defaultdict(list)
    for _ in range(options.rounds):
        found["dd"].append(options.large_mib / seconds(lambda: dd(source, folder / "dd.bin")))
        for system in systems:
            took_s = seconds(lambda system=system: system.put_large(source))  # type: ignore[misc]
            found[system.name].append(options.large_mib / took_s)
    disk, peer = median(found["dd"]), median(found[Weed.name])
    print(f"\none file of {options.large_mib} MiB, MiB/s")
    for name, rates in found.items():
        rate = median(rates)
        seen = " ".join(f"{each:.0f}" for each in rates)
        print(f"  {name:10} {rate:6.0f}  x {rate / peer:.2f}  disk x {rate / disk:.2f}  ({seen})")


def dd(source: Path, target: Path) -> None:
    command = ["dd", f"if={source}", f"of={target}", "bs=1M", "conv=fdatasync"]
    subprocess.run(command, check=True, capture_output=True)
    target.unlink()


def seconds(work: Callable[[], None]) -> float:
    started_s = time.perf_counter()
    work()
    return time.perf_counter() - started_s


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=8)
    parser.add_argument("--large-mib", type=int, default=1024)
    parser.add_argument("--only", default="small,lone,large")
    parser.add_argument("--unknown", action="store_true", help="bytes that only libmagic can judge")
    parser.add_argument("--port", type=int, default=18950)
    parser.add_argument("--folder", type=Path, help="on the disk to measure")
    options = parser.parse_args()
    wanted = options.only.split(",")
    with (
        tempfile.TemporaryDirectory(
            prefix="ingest-", dir=options.folder, ignore_cleanup_errors=True
        ) as name,
        weed(Path(name), options.port) as peer,
        running_stack(options.folder) as stack,
    ):
        systems: list[System] = [peer]
        systems += [
            ArtStore(stack, through_edge=edge, unknown=options.unknown) for edge in (False, True)
        ]
        if "small" in wanted:
            small(systems, stack, options)
        if "lone" in wanted:
            lone(systems, options)
        if "large" in wanted:
            large(systems, Path(name), options)


if __name__ == "__main__":
    main()
