"""A collector of OTLP over HTTP, in a process of its own: `python -m tests.support.collector FILE`.

It decodes what arrives with OpenTelemetry's own messages and writes a line of JSON for each span
and each log record. It prints its address first.
"""

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from zlib import MAX_WBITS, decompress

from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest


@dataclass(frozen=True)
class Collector:
    endpoint: str
    file: Path

    def spans(self, text: str) -> list[dict[str, Any]]:
        """In which `text` occurs: a trace id, a name."""
        return [record for record in self._records(text) if record["record"] == "span"]

    def logs(self, text: str) -> list[dict[str, Any]]:
        return [record for record in self._records(text) if record["record"] == "log"]

    def _records(self, text: str) -> list[dict[str, Any]]:
        lines = self.file.read_text("utf-8").splitlines() if self.file.exists() else []
        # The last one may just be written.
        return [json.loads(line) for line in lines[:-1] if text in line]


@contextmanager
def collecting(folder: Path) -> Iterator[Collector]:
    file = folder / "collected.jsonl"
    command = [sys.executable, "-m", "tests.support.collector", str(file)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield Collector(process.stdout.readline().strip(), file)
        finally:
            process.terminate()


def spans_of(body: bytes) -> Iterator[dict[str, Any]]:
    for of_process in ExportTraceServiceRequest.FromString(body).resource_spans:
        service = values(of_process.resource.attributes).get("service.name")
        for scope in of_process.scope_spans:
            for span in scope.spans:
                yield {
                    "record": "span",
                    "service": service,
                    "name": span.name,
                    "trace_id": span.trace_id.hex(),
                    "span_id": span.span_id.hex(),
                    "parent": span.parent_span_id.hex(),
                    "links": [link.trace_id.hex() for link in span.links],
                    "attributes": values(span.attributes),
                }


def logs_of(body: bytes) -> Iterator[dict[str, Any]]:
    for of_process in ExportLogsServiceRequest.FromString(body).resource_logs:
        service = values(of_process.resource.attributes).get("service.name")
        for scope in of_process.scope_logs:
            for record in scope.log_records:
                yield {
                    "record": "log",
                    "service": service,
                    "event": record.body.string_value,
                    "severity": record.severity_text,
                    "trace_id": record.trace_id.hex(),
                    "attributes": values(record.attributes),
                }


def values(attributes: Any) -> dict[str, Any]:
    return {
        each.key: getattr(each.value, each.value.WhichOneof("value") or "string_value")
        if each.value.WhichOneof("value") not in ("array_value", "kvlist_value")
        else str(each.value)
        for each in attributes
    }


def serve(file: Path) -> None:
    class Receiver(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            if self.headers.get("content-encoding") == "gzip":
                body = decompress(body, MAX_WBITS | 16)
            read = {"/v1/traces": spans_of, "/v1/logs": logs_of}.get(self.path)
            if read is not None:
                text = "".join(json.dumps(record) + "\n" for record in read(body))
                with file.open("a", encoding="utf-8") as out:
                    out.write(text)
            self.send_response(200)
            self.send_header("content-length", "0")
            self.send_header("content-type", "application/x-protobuf")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Receiver)
    sys.stdout.write(f"http://127.0.0.1:{server.server_port}\n")
    sys.stdout.flush()
    server.serve_forever()


if __name__ == "__main__":
    serve(Path(sys.argv[1]))
