"""How many small files per second one storage element makes durable, through HTTP.

    python -m benchmarks.storage_small_files [--seconds 15] [--connections 64] [--bytes 4096]

One process, TLS off, `PUT /files/{id}`. Before and after, the same load goes to a bare uvicorn
that stores nothing: where other work shares the machine, the ratio says more than the figure.
`--folder /dev/shm` shows what it costs without a disk.
"""

import argparse
import tempfile
from pathlib import Path

from benchmarks._load import (
    Load,
    Measured,
    bare_server,
    element,
    helper_cpu_s,
    metrics,
    put_request,
    run_load,
)

BARE_S = 3.0


def bare(port: int, options: argparse.Namespace) -> Measured:
    with bare_server(port):
        return run_load(port, Load(put_request(options.bytes), b"201", options.connections, BARE_S))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=15)
    parser.add_argument("--connections", type=int, default=64)
    parser.add_argument("--bytes", type=int, default=4096)
    parser.add_argument("--port", type=int, default=18910)
    parser.add_argument("--folder", type=Path, default=Path(tempfile.gettempdir()))
    parser.add_argument("--keep", action="store_true", help="delete the files yourself, later")
    options = parser.parse_args()
    before = bare(options.port + 1, options)
    with element(options.folder, options.port, keep=options.keep) as pid:
        load = Load(put_request(options.bytes), b"201", options.connections, options.seconds)
        at_start, helper_at_start_s = metrics(options.port), helper_cpu_s(pid)
        measured = run_load(options.port, load)
        helper_s = helper_cpu_s(pid) - helper_at_start_s
        report(measured, at_start, metrics(options.port), helper_s)
        after = bare(options.port + 1, options)
    reference = (before.per_s + after.per_s) / 2
    print(f"bare uvicorn {before.per_s:.0f} before, {after.per_s:.0f} after", end="; ")
    print(f"ratio {measured.per_s / reference:.2f}")


def report(
    measured: Measured, before: dict[str, float], after: dict[str, float], helper_s: float
) -> None:
    def grown(name: str) -> float:
        return after[name] - before.get(name, 0)

    groups = grown("artstore_wal_group_size_count")
    flush_ms = grown("artstore_wal_fsync_duration_seconds_sum") / groups * 1000
    cpu_us = grown("process_cpu_seconds_total") / measured.requests * 1e6
    rss = after["process_resident_memory_bytes"] / (1 << 20)
    print(
        f"{measured.per_s:.0f} durable uploads/s ({measured.requests} in {measured.seconds:.1f} s)"
    )
    print(f"latency p50 {measured.p50_ms:.1f} ms, p99 {measured.p99_ms:.1f} ms")
    print(f"mean group {grown('artstore_wal_group_size_sum') / groups:.1f} records", end=", ")
    print(f"mean flush {flush_ms:.2f} ms; memory {rss:.0f} MiB")
    helper_us = helper_s / measured.requests * 1e6
    print(
        f"CPU per upload: element {cpu_us:.0f} us, the helper that makes files {helper_us:.0f} us"
    )


if __name__ == "__main__":
    main()
