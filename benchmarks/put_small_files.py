"""Many small files through the edge with `artstore put`: files/s, and every sha256 compared.

    artstore up --detach; python -m benchmarks.put_small_files [--files 10000] [--jobs 16]

Needs a running ArtStore (`ARTSTORE_HOME` or ./.artstore). Each sha256 is compared twice: as
the upload was answered, and as the catalogue lists the file afterwards. The files stay stored,
in a collection of their own: where many were just deleted, ext4 makes new ones slowly.
"""

import argparse
import hashlib
import json
import os
import random
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from artstore.client import ArtStore, load_profile

BYTES_MIN, BYTES_MAX = 1 << 10, 8 << 10
FILES_PER_FOLDER = 500
CATALOGUE_WAIT_S = 60.0


def make_files(root: Path, count: int) -> dict[str, str]:
    """Files that do not repeat; their sha256 by path."""
    digests = {}
    for number in range(count):
        path = root / f"{number // FILES_PER_FOLDER:03}" / f"document-{number:05}.txt"
        path.parent.mkdir(parents=True, exist_ok=True)
        content = os.urandom(random.randint(BYTES_MIN, BYTES_MAX))
        path.write_bytes(content)
        digests[str(path)] = hashlib.sha256(content).hexdigest()
    return digests


def put(root: Path, collection: str, jobs: int) -> tuple[list[dict[str, str]], float, float]:
    """The lines the command printed, its time, and its time on the processor."""
    command = [sys.executable, "-m", "artstore.cli", "put", str(root), "--json"]
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    load_profile()  # without one there is nothing to measure
    started = time.perf_counter()
    ran = subprocess.run(
        [*command, "--collection", collection, "--jobs", str(jobs)],
        stdout=subprocess.PIPE,
        check=False,
    )
    elapsed_s = time.perf_counter() - started
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    processor_s = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return [json.loads(line) for line in ran.stdout.splitlines()], elapsed_s, processor_s


def listed(collection: str, count: int) -> tuple[dict[str, str], float]:
    """What the catalogue says, as soon as it has caught up, and how long that took."""
    started = time.perf_counter()
    while True:
        with ArtStore.from_home() as store:
            found = {record.file_id: record.sha256 for record in store.files(collection)}
        elapsed_s = time.perf_counter() - started
        if len(found) >= count or elapsed_s > CATALOGUE_WAIT_S:
            return found, elapsed_s
        time.sleep(0.2)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--files", type=int, default=10_000)
    parser.add_argument("--jobs", type=int, default=16)
    arguments = parser.parse_args()
    collection = f"bench-{int(time.time())}"
    with tempfile.TemporaryDirectory(prefix="artstore-bench-") as name:
        digests = make_files(Path(name), arguments.files)
        lines, elapsed_s, processor_s = put(Path(name), collection, arguments.jobs)
    stored = {line["file_id"]: line for line in lines if "file_id" in line}
    catalogue, catching_up_s = listed(collection, len(stored))
    equal = sum(
        digests[line["path"]] == line["sha256"] == catalogue.get(file_id)
        for file_id, line in stored.items()
    )
    print(
        json.dumps(
            {
                "files": arguments.files,
                "jobs": arguments.jobs,
                "stored": len(stored),
                "sha256_equal": equal,
                "files_per_s": round(len(stored) / elapsed_s, 1),
                "client_cpu_ms_per_file": round(processor_s / arguments.files * 1000, 3),
                "catalogue_complete_after_s": round(catching_up_s, 2),
            },
            indent=2,
        )
    )
    sys.exit(equal != arguments.files)


if __name__ == "__main__":
    main()
