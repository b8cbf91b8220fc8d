"""What traces, metrics and the log line cost a request: CPU time of the process, all threads.

`python -m benchmarks.observability_cost`. The goal: 15 us at 1 % sampling, 60 us at 100 %, with
spans sent to a collector in another process.
"""

import asyncio
import gc
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

from fastapi import FastAPI
from opentelemetry import trace
from starlette.types import ASGIApp, Receive, Scope, Send
from tests.support.collector import collecting

from artstore.core.logging import configure_logging
from artstore.core.observability import setup_observability
from artstore.core.tracing import new_trace
from artstore.core.web.server import GARBAGE_THRESHOLD

REQUESTS = 10_000
PASSES = 5
"""With and without, in turn; the figures are medians."""
RATIOS = (0.0, 0.01, 1.0)


class Route:
    path = "/api/v1/files/{file_id}"


ROUTE = Route()


async def answer(scope: Scope, receive: Receive, send: Send) -> None:
    del receive
    scope["route"] = ROUTE
    await send({"type": "http.response.start", "status": 200, "headers": [(b"a", b"b")]})
    await send({"type": "http.response.body", "body": b"x"})


async def _receive() -> dict[str, object]:
    return {"type": "http.disconnect"}


async def _send(_: object) -> None: ...


def _scope() -> Scope:
    # Sampled as far as the caller is concerned, as the SDK's requests are.
    header = new_trace(sampled=True).traceparent.encode()
    headers = [(b"host", b"localhost"), (b"accept", b"*/*"), (b"traceparent", header)]
    path = "/api/v1/files/01890000-0000-7000-8000-000000000000"
    return {"type": "http", "method": "GET", "path": path, "headers": headers}


async def run(app: ASGIApp) -> float:
    """Microseconds of CPU a request, at a pace that the exporter keeps up with.

    With the making of its scope, which a server has just done: one made long before would have to
    come back from memory first.
    """
    began_s = time.process_time()
    for number in range(REQUESTS):
        await app(_scope(), _receive, _send)  # type: ignore[arg-type]
        if number % 400 == 0:
            await asyncio.sleep(0.1)
    assert trace.get_tracer_provider().force_flush()  # type: ignore[attr-defined]
    return (time.process_time() - began_s) / REQUESTS * 1e6


def measure(ratio: float, endpoint: str) -> None:
    """In a process of its own, which has one provider."""
    gc.set_threshold(GARBAGE_THRESHOLD)  # as a module that serves does
    configure_logging("bench", "bench-1", "info")
    app = FastAPI()
    setup_observability(
        app, "bench", "1", exporter_endpoint=endpoint, instance="bench-1", sample_ratio=ratio
    )
    telemetry = app.user_middleware[0]
    instrumented = telemetry.cls(answer, *telemetry.args, **telemetry.kwargs)
    asyncio.run(run(instrumented))
    costs_us = [asyncio.run(run(instrumented)) - asyncio.run(run(answer)) for _ in range(PASSES)]
    print(f"{median(costs_us):.1f}", file=sys.stderr)


def main() -> None:
    with tempfile.TemporaryDirectory() as folder, collecting(Path(folder)) as collector:
        for ratio in RATIOS:
            command = [sys.executable, "-m", "benchmarks.observability_cost", str(ratio)]
            done = subprocess.run(
                [*command, collector.endpoint],
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                text=True,
                check=True,
            )
            print(f"{done.stderr.strip()} us of CPU a request at {ratio:.0%} sampling")


if __name__ == "__main__":
    if len(sys.argv) == 3:
        measure(float(sys.argv[1]), sys.argv[2])
    else:
        main()
