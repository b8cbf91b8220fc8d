"""How many small files per second go through the ingester, straight to it over mutual TLS.

    artstore up --detach; python -m benchmarks.ingester_small_files [--connections 64]

Needs a running ArtStore (`ARTSTORE_HOME` or ./.artstore). The whole path: a token, type of the
content, log, file and attr.json, and the catalogue that follows. With `--connections 1` it shows
what a lone upload waits.
"""

import argparse
import json
import os
import ssl
import subprocess
import sys
import urllib.parse
import urllib.request
from pathlib import Path

import psutil

from artstore.client import load_profile
from artstore.core.tls import server_name
from benchmarks._load import Load, NewRequest, run_load


def token(home: Path) -> str:
    profile = load_profile(home)
    form = {
        "grant_type": "client_credentials",
        "client_id": profile.client_id,
        "client_secret": profile.client_secret,
    }
    request = urllib.request.Request(
        f"{profile.edge_url}/api/v1/auth/token", urllib.parse.urlencode(form).encode()
    )
    context = ssl.create_default_context(cafile=profile.ca_file)
    with urllib.request.urlopen(request, context=context) as answer:
        return str(json.load(answer)["access_token"])


def running(home: Path) -> dict[str, dict[str, int]]:
    """Port and pid of the processes, by name."""
    program = Path(sys.executable).with_name("artstore")
    status = subprocess.run(
        [program, "status", "--home", home, "--json"], check=True, capture_output=True
    )
    return {entry["name"]: entry for entry in json.loads(status.stdout)["processes"]}


def cpu_s(pid: int) -> float:
    """Of a process and its children."""
    root = psutil.Process(pid)
    times = [process.cpu_times() for process in [root, *root.children(recursive=True)]]
    return sum(time.user + time.system for time in times)


def upload(bearer: str, size: int) -> NewRequest:
    content = os.urandom(size)
    head = (
        "POST /api/v1/files?filename=report.pdf&collection=bench HTTP/1.1\r\nHost: ingester\r\n"
        f"Authorization: Bearer {bearer}\r\nContent-Type: application/pdf\r\n"
        f"Content-Length: {size}\r\n\r\n"
    ).encode()
    return lambda _: head + content


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=10)
    parser.add_argument("--connections", type=int, default=64)
    parser.add_argument("--bytes", type=int, default=4096)
    options = parser.parse_args()
    home = Path(os.environ.get("ARTSTORE_HOME", ".artstore"))
    tls = ssl.create_default_context(cafile=home / "pki" / "ca.crt")
    tls.load_cert_chain(home / "pki" / "edge-1.crt", home / "pki" / "edge-1.key")
    load = Load(
        upload(token(home), options.bytes),
        b"201",
        options.connections,
        options.seconds,
        tls=tls,
        server_name=server_name("ingester"),
    )
    processes = running(home)
    before = {name: cpu_s(entry["pid"]) for name, entry in processes.items()}
    measured = run_load(processes["ingester-1"]["port"], load)
    print(f"{measured.per_s:.0f} files/s, {options.connections} connections", end=", ")
    print(f"p50 {measured.p50_ms:.1f} ms, p99 {measured.p99_ms:.1f} ms")
    costs = {
        name: (cpu_s(entry["pid"]) - before[name]) / measured.requests * 1e6
        for name, entry in processes.items()
    }
    print("CPU us per file:", ", ".join(f"{name} {cost:.0f}" for name, cost in costs.items()))


if __name__ == "__main__":
    main()
