"""A large file up and down through the edge: speed, and memory of every process.

    artstore up --detach; python -m benchmarks.large_file [--gib 5]

Needs a running ArtStore (`ARTSTORE_HOME` or ./.artstore). Prints one JSON object; memory is
resident set minus what a process shares with others, in MiB over its size before, of the
process that grew most (PostgreSQL has many).
"""

import argparse
import hashlib
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from tests.support.memory import MIB, watching

from artstore.client import ArtStore

BLOCK = 8 << 20


def running_pids() -> dict[str, int]:
    status = subprocess.run(
        [Path(sys.executable).with_name("artstore"), "status", "--json"],
        check=True,
        capture_output=True,
    )
    return {entry["name"]: entry["pid"] for entry in json.loads(status.stdout)["processes"]}


def make_file(path: Path, size: int) -> str:
    """Bytes that do not repeat, so that nothing can be saved on them. Returns the sha256."""
    block = bytearray(os.urandom(BLOCK))
    digest = hashlib.sha256()
    with path.open("wb") as file:
        for number in range(size // BLOCK):
            block[:8] = number.to_bytes(8)
            digest.update(block)
            file.write(block)
        os.fsync(file.fileno())
    return digest.hexdigest()


def disk_mib_s(folder: Path) -> float:
    """What the disk gives a plain writer: dd of 1 GiB with a flush at the end."""
    target = folder / "dd"
    started = time.perf_counter()
    subprocess.run(
        ["dd", "if=/dev/zero", f"of={target}", "bs=1M", "count=1024", "conv=fdatasync"],
        check=True,
        capture_output=True,
    )
    seconds = time.perf_counter() - started
    target.unlink()
    return 1024 / seconds


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--gib", type=float, default=5)
    size = int(parser.parse_args().gib * (1 << 30)) // BLOCK * BLOCK
    home = Path(os.environ.get("ARTSTORE_HOME", ".artstore"))
    with (
        tempfile.TemporaryDirectory(dir=home, prefix="bench-") as name,
        ArtStore.from_home() as store,
    ):
        folder = Path(name)
        disk = disk_mib_s(folder)
        sha256 = make_file(folder / "large.bin", size)
        with watching(running_pids() | {"client": os.getpid()}) as watch:
            started = time.perf_counter()
            stored = store.put(folder / "large.bin")
            up_s = time.perf_counter() - started
            (folder / "large.bin").unlink()
            started = time.perf_counter()
            store.get(stored.file_id, folder / "copy.bin")
            down_s = time.perf_counter() - started
        store.delete(stored.file_id)

        print(
            json.dumps(
                {
                    "gib": size / (1 << 30),
                    "sha256_equal": stored.sha256 == sha256,
                    "upload_mib_s": round(size / MIB / up_s, 1),
                    "download_mib_s": round(size / MIB / down_s, 1),
                    "dd_fdatasync_mib_s": round(disk, 1),
                    "memory_growth_mib": watch.growth_mib,
                },
                indent=2,
            )
        )


if __name__ == "__main__":
    main()
