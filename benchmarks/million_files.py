"""What a million files cost an element: memory, start, recovery, the first page of a listing.

    python -m benchmarks.million_files [--files 1000000] [--hours 1] [--folder DIR]

An empty element is measured first, then the same one full. All files lie in one hour's
directory unless `--hours` spreads them: one is the worst case. They are written by the engine
itself, without HTTP.

Without `--folder` everything is made below /tmp and deleted at the end. What `--folder` names
stays, and is used again: the files that are missing are made, and a run that finds them all
only measures. Delete it yourself, and then wait: ext4 is slow to create files for a minute
after many were deleted.

Both elements get the same load before their memory is compared: what the process needs to take
uploads is no cost of the files. The load leaves some thousand files more in each.
"""

import argparse
import contextlib
import hashlib
import http.client
import json
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import psutil

from artstore.core.model.batch import BATCH_TYPE, pack_file
from artstore.core.model.element import StorageMode
from artstore.core.model.file import Digest, FileRecord, Uploader
from artstore.core.model.ids import FileIdSource
from artstore.storage.engine.engine import Engine
from artstore.storage.engine.entries import Outcome, Stored
from artstore.storage.engine.new_files import NewSmallFile
from artstore.storage.engine.opening import EngineOptions
from benchmarks._load import DRAFT

MEMORY_MAX_MIB = 50
START_MAX_S = 5.0
BATCH_FILES = 1024
ELEMENT_ID = "bench-1"
LOAD_S = 4.0
SENDERS = 4
MIB = 1 << 20


@dataclass(frozen=True)
class Figures:
    files: int
    start_s: float
    recovery_s: float
    first_page_s: float
    first_scrubbed_s: float
    listing_s: float
    started_rss_mib: float
    """Of element and helper together, here and below."""
    loaded_rss_mib: float
    """After `LOAD_S` of uploads."""
    rss_mib: float
    """After all of the above."""

    def __str__(self) -> str:
        return (
            f"{self.files:>9} files: start {self.start_s:.2f} s, after kill -9 under load"
            f" {self.recovery_s:.2f} s; first page {self.first_page_s:.2f} s, scrub at work after"
            f" {self.first_scrubbed_s:.2f} s, whole listing {self.listing_s:.0f} s;"
            f" memory {self.started_rss_mib:.1f} MiB, {self.loaded_rss_mib:.1f} after uploads,"
            f" {self.rss_mib:.1f} at the end"
        )


def fill(root: Path, files: int, hours: int) -> None:
    """Small files, through the engine; a clean stop at the end. Goes on where it was stopped."""
    root.mkdir(parents=True, exist_ok=True)
    begun = root.parent / f"{root.name}.begun"
    if not begun.exists():
        begun.write_text((datetime.now(UTC) - timedelta(hours=hours)).isoformat())
    begin = datetime.fromisoformat(begun.read_text())
    options = EngineOptions(
        root=str(root),
        element_id=ELEMENT_ID,
        mode=StorageMode.EDIT,
        reserved_bytes=256 << 20,
        has_helper=True,
    )
    engine = Engine.open(options)
    engine.start()
    ids = FileIdSource()
    for start in range(engine.head, files, BATCH_FILES):
        moment = begin + timedelta(hours=hours * start / files)
        _put(engine, ids, moment, range(start, min(start + BATCH_FILES, files)))
    engine.close()


def _put(engine: Engine, ids: FileIdSource, moment: datetime, numbers: range) -> None:
    waiting = threading.Semaphore(0)
    outcomes: list[Outcome] = []

    def done(outcome: Outcome) -> None:
        outcomes.append(outcome)
        waiting.release()

    engine.new_files.put_all(
        [NewSmallFile(*_file(ids, moment, number), None, done) for number in numbers]
    )
    for _ in numbers:
        waiting.acquire()
    assert all(isinstance(outcome, Stored) for outcome in outcomes)


def _file(ids: FileIdSource, moment: datetime, number: int) -> tuple[FileRecord, bytes]:
    content = b"file %d" % number
    digest = Digest(alg="sha256", value=hashlib.sha256(content).hexdigest(), computed_at=moment)
    record = FileRecord(
        file_id=ids.new(moment, os.urandom(10)),
        collection="default",
        original_filename=f"{number}.txt",
        size=len(content),
        content_type="text/plain",
        digests=(digest,),
        uploaded_at=moment,
        uploaded_by=Uploader(subject="benchmark", name="benchmark", via="benchmark"),
        revision=1,
    )
    return record, content


class Running:
    """An element as a process."""

    def __init__(self, root: Path, port: int) -> None:
        variables = {
            "PROFILE": "development",
            "INSTANCE": "storage-1",
            "PORT": str(port),
            "ELEMENT_ID": ELEMENT_ID,
            "ROOT": str(root),
            "LOG_LEVEL": "warning",
        }
        environment = {**os.environ, **{f"ARTSTORE_{k}": v for k, v in variables.items()}}
        self._url = f"http://127.0.0.1:{port}"
        started_s = time.perf_counter()
        command = [sys.executable, "-m", "artstore.storage"]
        self._process = subprocess.Popen(command, env=environment)
        while not self._is_ready():
            time.sleep(0.01)
        self.start_s = time.perf_counter() - started_s

    def rss_mib(self) -> float:
        process = psutil.Process(self._process.pid)
        family = [process, *process.children()]
        return float(sum(member.memory_info().rss for member in family)) / MIB

    def get(self, path: str) -> bytes:
        with urllib.request.urlopen(self._url + path) as answer:
            body: bytes = answer.read()
            return body

    def post(self, path: str, body: object) -> None:
        request = urllib.request.Request(
            self._url + path, json.dumps(body).encode(), {"Content-Type": "application/json"}
        )
        urllib.request.urlopen(request).close()

    def stop(self) -> None:
        self._process.terminate()
        self._process.wait()

    def kill(self) -> None:
        self._process.kill()
        self._process.wait()

    def _is_ready(self) -> bool:
        if self._process.poll() is not None:
            raise SystemExit("the element ended; its message is above")
        try:
            self.get("/health/ready")
        except (urllib.error.URLError, ConnectionError):
            return False
        return True


@contextmanager
def running(root: Path, port: int) -> Iterator[Running]:
    element = Running(root, port)
    try:
        yield element
    finally:
        element.stop()


def look(root: Path, port: int) -> Figures:
    """Measure the element in `root`, which was stopped cleanly."""
    with running(root, port) as element:
        start_s, started_rss_mib = element.start_s, element.rss_mib()
        first_page_s = _timed(lambda: element.get("/api/v1/files?limit=1000"))
        first_scrubbed_s = _timed(lambda: _scrub(element))
        element.post("/api/v1/scrub", {"action": "pause"})
        with _load(port):
            time.sleep(LOAD_S)
            loaded_rss_mib = element.rss_mib()
        started_s = time.perf_counter()
        files = _list_all(element)
        listing_s = time.perf_counter() - started_s
        rss_mib = element.rss_mib()
    return Figures(
        files=files,
        start_s=start_s,
        recovery_s=_recovery_s(root, port),
        first_page_s=first_page_s,
        first_scrubbed_s=first_scrubbed_s,
        listing_s=listing_s,
        started_rss_mib=started_rss_mib,
        loaded_rss_mib=loaded_rss_mib,
        rss_mib=rss_mib,
    )


def _list_all(element: Running) -> int:
    count, after = 0, ""
    while lines := element.get(f"/api/v1/files?limit=1000{after}").splitlines():
        count += len(lines)
        after = f"&after={json.loads(lines[-1])['file_id']}"
    return count


def _scrub(element: Running) -> None:
    """Until it has read something (of the log first), if there is anything."""
    element.post("/api/v1/scrub", {"action": "start"})
    while True:
        status = json.loads(element.get("/api/v1/scrub"))
        if status["checked_bytes"] or status["state"] == "idle":
            return
        time.sleep(0.005)


def _recovery_s(root: Path, port: int) -> float:
    """Start after a kill in the middle of uploads: what lies behind the last checkpoint is
    done again."""
    element = Running(root, port)
    with _load(port):
        time.sleep(LOAD_S)
        element.kill()
    with running(root, port) as again:
        return again.start_s


@contextmanager
def _load(port: int) -> Iterator[None]:
    """Uploads in batches, until the end or until the element is gone."""
    enough = threading.Event()
    senders = [threading.Thread(target=_send_batches, args=(port, enough)) for _ in range(SENDERS)]
    for sender in senders:
        sender.start()
    try:
        yield
    finally:
        enough.set()
        for sender in senders:
            sender.join()


def _send_batches(port: int, enough: threading.Event) -> None:
    ids = FileIdSource()
    head, content = json.dumps(DRAFT).encode(), os.urandom(4096)
    connection = http.client.HTTPConnection("127.0.0.1", port)
    with (
        contextlib.closing(connection),
        contextlib.suppress(OSError, http.client.HTTPException),
    ):
        while not enough.is_set():
            new = (ids.new(datetime.now(UTC), os.urandom(10)) for _ in range(64))
            body = b"".join(pack_file(file_id, head, None, content) for file_id in new)
            connection.request("POST", "/api/v1/files:batch", body, {"Content-Type": BATCH_TYPE})
            connection.getresponse().read()


def _timed(work: Callable[[], object]) -> float:
    started_s = time.perf_counter()
    work()
    return time.perf_counter() - started_s


@contextmanager
def _folder(kept: Path | None) -> Iterator[Path]:
    if kept is not None:
        kept.mkdir(parents=True, exist_ok=True)
        yield kept
        return
    folder = Path(tempfile.mkdtemp(prefix="artstore-bench-"))
    try:
        yield folder
    finally:
        shutil.rmtree(folder)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--files", type=int, default=1_000_000)
    parser.add_argument("--hours", type=int, default=1)
    parser.add_argument("--port", type=int, default=18920)
    parser.add_argument("--folder", type=Path, help="kept, and used again")
    options = parser.parse_args()
    with _folder(options.folder) as folder:
        empty = look(folder / f"empty-{os.getpid()}", options.port)
        print(empty, flush=True)
        seconds = _timed(lambda: fill(folder / "full", options.files, options.hours))
        print(f"{options.files} files are there after {seconds:.0f} s", flush=True)
        full = look(folder / "full", options.port)
        print(full)
    growth_mib = full.rss_mib - empty.rss_mib
    met = growth_mib <= MEMORY_MAX_MIB and full.start_s <= START_MAX_S
    print(f"{growth_mib:.1f} MiB over an empty one (limit {MEMORY_MAX_MIB}),", end=" ")
    print(f"start {full.start_s:.2f} s (limit {START_MAX_S:.0f}): {'met' if met else 'NOT MET'}")
    sys.exit(not met)


if __name__ == "__main__":
    main()
