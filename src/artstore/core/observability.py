"""Traces, metrics and request logs of a module, set up in one place (S12)."""

from typing import Final, cast

from fastapi import FastAPI
from opentelemetry import metrics, trace
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import MetricReader, PeriodicExportingMetricReader
from opentelemetry.sdk.resources import SERVICE_INSTANCE_ID, SERVICE_NAME, SERVICE_VERSION, Resource
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from prometheus_client.exposition import choose_encoder
from starlette.requests import Request
from starlette.responses import Response

from artstore.core.log_export import line_exporter
from artstore.core.logging import also_send
from artstore.core.metrics import BUILD_INFO, REGISTRY
from artstore.core.spans import Traces
from artstore.core.web.middleware import RequestTelemetry

EXPORT_TIMEOUT_S: Final = 3
"""A collector that is away must not hold up a process that is to stop."""


def setup_observability(
    app: FastAPI,
    service_name: str,
    service_version: str,
    enable_tracing: bool = True,  # noqa: FBT001, FBT002, RUF100  signature fixed by S12
    exporter_endpoint: str | None = None,
    *,
    instance: str = "",
    sample_ratio: float = 1.0,
    export_logs: bool = False,
) -> None:
    """Give `app` traces, metrics, request logs and `/metrics`.

    Args:
        exporter_endpoint: Base URL of an OTLP/HTTP collector (`http://127.0.0.1:4318`).
            Without one, requests carry trace ids, but no span is made: a span that goes
            nowhere costs more than the whole request.
        sample_ratio: Share of traces that become spans, decided by their id (`core.spans`).
        export_logs: Send log lines to the collector too; they stay on stdout as well. Behind
            `configure_logging`.
    """
    resource = _ModuleResource(
        {
            SERVICE_NAME: service_name,
            SERVICE_VERSION: service_version,
            SERVICE_INSTANCE_ID: instance or service_name,
        }
    )
    traces = None
    if enable_tracing:
        traces = Traces(resource, service_version, sample_ratio if exporter_endpoint else 0)
        if exporter_endpoint:
            _export(traces, exporter_endpoint)
        trace.set_tracer_provider(traces)
    metrics.set_meter_provider(MeterProvider(_readers(exporter_endpoint), resource))
    if export_logs and exporter_endpoint:
        _export_logs(resource, exporter_endpoint)
    BUILD_INFO.labels(service_name, instance, service_version).set(1)
    app.add_middleware(RequestTelemetry, service=service_name, traces=traces)
    app.add_route("/metrics", read_metrics, include_in_schema=False)


class _ModuleResource(Resource):
    """The exporter asks for the hash with every span, and OpenTelemetry's writes JSON for it."""

    def __init__(self, attributes: dict[str, str]) -> None:
        # `create` adds what the environment says of the machine.
        super().__init__(cast("dict[str, str]", Resource.create(attributes).attributes))
        self._hash = super().__hash__()

    def __eq__(self, other: object) -> bool:
        return self is other or super().__eq__(other)

    def __hash__(self) -> int:
        return self._hash


def _export(provider: Traces, endpoint: str) -> None:
    # Imported late: it drags in protobuf and requests, 100 ms that nobody else needs.
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter  # noqa: PLC0415

    exporter = OTLPSpanExporter(f"{endpoint.rstrip('/')}/v1/traces", timeout=EXPORT_TIMEOUT_S)
    provider.add_span_processor(BatchSpanProcessor(exporter))


def _export_logs(resource: Resource, endpoint: str) -> None:
    from opentelemetry.exporter.otlp.proto.http._log_exporter import OTLPLogExporter  # noqa: PLC0415

    exporter = OTLPLogExporter(f"{endpoint.rstrip('/')}/v1/logs", timeout=EXPORT_TIMEOUT_S)
    also_send(line_exporter(resource, exporter))


def _readers(endpoint: str | None) -> list[MetricReader]:
    """For instruments of libraries; ArtStore's own metrics are read at `/metrics`."""
    if not endpoint:
        return []
    from opentelemetry.exporter.otlp.proto.http.metric_exporter import (  # noqa: PLC0415
        OTLPMetricExporter,
    )

    exporter = OTLPMetricExporter(f"{endpoint.rstrip('/')}/v1/metrics", timeout=EXPORT_TIMEOUT_S)
    return [PeriodicExportingMetricReader(exporter)]


async def read_metrics(request: Request) -> Response:
    """Prometheus text; OpenMetrics, which carries exemplars, for those who ask for it."""
    encode, content_type = choose_encoder(request.headers.get("accept", ""))
    return Response(encode(REGISTRY), headers={"Content-Type": content_type})
