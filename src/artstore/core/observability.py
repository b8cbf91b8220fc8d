"""Traces, metrics and request logs of a module, set up in one place (S12)."""

from fastapi import FastAPI
from opentelemetry import metrics, trace
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import MetricReader, PeriodicExportingMetricReader
from opentelemetry.sdk.resources import SERVICE_INSTANCE_ID, SERVICE_NAME, SERVICE_VERSION, Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.sdk.trace.sampling import ALWAYS_ON
from prometheus_client.exposition import choose_encoder
from starlette.requests import Request
from starlette.responses import Response

from artstore.core.metrics import BUILD_INFO, REGISTRY
from artstore.core.web.middleware import RequestTelemetry
from artstore.core.web.spans import Spans


def setup_observability(
    app: FastAPI,
    service_name: str,
    service_version: str,
    enable_tracing: bool = True,  # noqa: FBT001, FBT002, RUF100  signature fixed by S12
    exporter_endpoint: str | None = None,
    *,
    instance: str = "",
    sample_ratio: float = 1.0,
) -> None:
    """Give `app` traces, metrics, request logs and `/metrics`.

    Args:
        exporter_endpoint: Base URL of an OTLP/HTTP collector (`http://127.0.0.1:4318`).
            Without one, requests carry trace ids, but no span is made: a span that goes
            nowhere costs more than the whole request.
        sample_ratio: Share of traces begun here that become spans.
    """
    resource = Resource.create(
        {
            SERVICE_NAME: service_name,
            SERVICE_VERSION: service_version,
            SERVICE_INSTANCE_ID: instance or service_name,
        }
    )
    tracer = None
    if enable_tracing:
        provider = _tracer_provider(resource, exporter_endpoint)
        trace.set_tracer_provider(provider)
        if exporter_endpoint:
            tracer = provider.get_tracer("artstore", service_version)
    metrics.set_meter_provider(MeterProvider(_readers(exporter_endpoint), resource))
    BUILD_INFO.labels(service_name, instance, service_version).set(1)
    app.add_middleware(RequestTelemetry, service=service_name, spans=Spans(tracer, sample_ratio))
    app.add_route("/metrics", read_metrics, include_in_schema=False)


def _tracer_provider(resource: Resource, endpoint: str | None) -> TracerProvider:
    # Sampling is decided before a span is made (`Spans`), so whatever is made is kept.
    provider = TracerProvider(sampler=ALWAYS_ON, resource=resource)
    if endpoint:
        # Imported late: it drags in protobuf and requests, 100 ms that nobody else needs.
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter  # noqa: PLC0415

        exporter = OTLPSpanExporter(f"{endpoint.rstrip('/')}/v1/traces")
        provider.add_span_processor(BatchSpanProcessor(exporter))
    return provider


def _readers(endpoint: str | None) -> list[MetricReader]:
    """For instruments of libraries; ArtStore's own metrics are read at `/metrics`."""
    if not endpoint:
        return []
    from opentelemetry.exporter.otlp.proto.http.metric_exporter import (  # noqa: PLC0415
        OTLPMetricExporter,
    )

    exporter = OTLPMetricExporter(f"{endpoint.rstrip('/')}/v1/metrics")
    return [PeriodicExportingMetricReader(exporter)]


async def read_metrics(request: Request) -> Response:
    """Prometheus text; OpenMetrics, which carries exemplars, for those who ask for it."""
    encode, content_type = choose_encoder(request.headers.get("accept", ""))
    return Response(encode(REGISTRY), headers={"Content-Type": content_type})
