"""One trace through every hop, the promised metrics on every module, and closed doors."""

import json
import re
import ssl
import urllib.error
import urllib.request
from collections.abc import Iterator
from typing import Any

import httpx2
import pytest
from tests.support.collector import Collector
from tests.support.processes import wait_until
from tests.support.stack import RunningStack

from artstore.core.tracing import new_trace

pytestmark = pytest.mark.stack

METHODS = {"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "OTHER"}
SERIES_MAX = 5000
MODULES = ["admin-1", "edit-1", "rw-1", "ingester-1", "query-1"]


@pytest.fixture(scope="module")
def operator(stack: RunningStack) -> Iterator[httpx2.Client]:
    """Somebody with a client certificate who looks at modules directly."""
    context = ssl.create_default_context(cafile=stack.ca_file)
    context.load_cert_chain(stack.operator.certificate, stack.operator.key)
    with httpx2.Client(verify=context, timeout=30) as client:
        yield client


def url(stack: RunningStack, name: str, path: str) -> str:
    return f"https://127.0.0.1:{stack.process(name).port}{path}"


def open_without_certificate(stack: RunningStack, address: str) -> int:
    context = ssl.create_default_context(cafile=stack.ca_file)
    try:
        with urllib.request.urlopen(address, context=context, timeout=10) as answer:
            status: int = answer.status
            return status
    except urllib.error.HTTPError as error:
        error.close()
        return error.code


@pytest.mark.parametrize("name", MODULES)
def test_a_module_opens_only_its_health_without_a_certificate(
    stack: RunningStack, name: str
) -> None:
    assert open_without_certificate(stack, url(stack, name, "/health/live")) == 200
    assert open_without_certificate(stack, url(stack, name, "/health/ready")) == 200
    for path in ("/api/v1/info", "/api/v1/files", "/metrics", "/.well-known/jwks.json", "/docs"):
        assert open_without_certificate(stack, url(stack, name, path)) == 403


@pytest.mark.parametrize("name", MODULES)
def test_metrics_have_the_promised_names_and_labels(
    stack: RunningStack, operator: httpx2.Client, http: httpx2.Client, name: str
) -> None:
    http.get("/api/v1/files")
    service = {"edit-1": "storage", "rw-1": "storage"}.get(name, name.removesuffix("-1"))
    operator.get(url(stack, name, "/nothing"))
    lines = operator.get(url(stack, name, "/metrics")).raise_for_status().text.splitlines()

    labels = f'{{method="GET",route="unmatched",service="{service}",status="404"}}'
    assert any(line.startswith(f"http_requests_total{labels}") for line in lines)
    bucket = (
        f'http_request_duration_seconds_bucket{{le="+Inf",route="unmatched",service="{service}"}}'
    )
    assert any(line.startswith(bucket) for line in lines)
    assert any(line.startswith("artstore_build_info{") for line in lines)


@pytest.mark.parametrize("name", MODULES)
def test_nothing_that_a_caller_sends_becomes_a_label(
    stack: RunningStack, operator: httpx2.Client, name: str
) -> None:
    marker = "01890000-0000-7000-8000-0000deadbeef"
    for path in (
        f"/api/v1/files/{marker}",
        f"/{marker}",
        f"/api/v1/files/{marker}/content",
        "/%00",
    ):
        for method in ("GET", "DELETE", "BREW", marker.replace("-", "").upper()):
            operator.request(method, url(stack, name, path))
    lines = operator.get(url(stack, name, "/metrics")).raise_for_status().text.splitlines()

    labels = {
        (found[1], found[2]) for line in lines for found in re.finditer(r'(\w+)="([^"]*)"', line)
    }
    assert not [value for _, value in labels if "deadbeef" in value.lower()]
    assert {value for label, value in labels if label == "method"} <= METHODS
    assert not [value for _, value in labels if re.search("[0-9a-f]{16}", value)]
    assert len(lines) < SERIES_MAX


def test_histograms_point_at_traces(
    stack: RunningStack, operator: httpx2.Client, http: httpx2.Client
) -> None:
    trace = new_trace(sampled=True)
    http.get("/api/v1/files", headers={"traceparent": trace.traceparent})
    accept = {"Accept": "application/openmetrics-text; version=1.0.0"}

    text = operator.get(url(stack, "query-1", "/metrics"), headers=accept).text
    assert f'# {{trace_id="{trace.trace_id}"}}' in text
    assert "# {" not in operator.get(url(stack, "query-1", "/metrics")).text


def events(stack: RunningStack, name: str) -> list[dict[str, Any]]:
    lines = (stack.home / "log" / f"{name}.log").read_text("utf-8").splitlines()
    return [json.loads(line) for line in lines if line.startswith("{")]


def mentions(stack: RunningStack, name: str, trace_id: str) -> bool:
    return any(trace_id in json.dumps(event) for event in events(stack, name))


def test_one_trace_is_in_the_logs_of_every_hop_of_an_upload(
    stack: RunningStack, http: httpx2.Client
) -> None:
    trace = new_trace(sampled=False)
    stored = http.post(
        "/api/v1/files",
        params={"filename": "traced.txt"},
        content=b"traced",
        headers={"traceparent": trace.traceparent},
    )
    assert stored.headers["x-correlation-id"] == trace.trace_id
    for name in ("edge", "ingester-1", "edit-1", "admin-1"):
        wait_until(lambda name=name: mentions(stack, name, trace.trace_id), f"{name} logging it")


def test_an_upload_without_a_trace_gets_one(stack: RunningStack, http: httpx2.Client) -> None:
    stored = http.post("/api/v1/files", params={"filename": "untraced.txt"}, content=b"x")
    trace_id = stored.headers["x-correlation-id"]

    for name in ("edge", "ingester-1", "edit-1", "admin-1"):
        wait_until(lambda name=name: mentions(stack, name, trace_id), f"{name} logging it")


def test_logs_hold_no_token_and_no_name_of_a_document(
    stack: RunningStack, http: httpx2.Client, collector: Collector
) -> None:
    answer = http.post("/api/v1/files", params={"filename": "very-private-name.txt"}, content=b"x")
    trace_id = answer.headers["x-correlation-id"]
    wait_until(lambda: bool(collector.logs(trace_id)), "log records")
    wait_until(lambda: len(collector.spans(trace_id)) > 3, "spans")
    token = http.headers["authorization"].removeprefix("Bearer ")
    secrets = [path.read_text().strip() for path in (stack.home / "secrets").iterdir()]

    for path in [*(stack.home / "log").glob("*.log"), collector.file]:
        text = path.read_text("utf-8", errors="replace")
        assert token not in text, path.name
        assert not [secret for secret in secrets if len(secret) > 8 and secret in text], path.name
        assert "very-private-name" not in text, path.name
