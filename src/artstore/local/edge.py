"""The edge of the embedded stack: Caddy with a configuration of ours.

One origin for users; behind it each (method, path) belongs to one module, reached by
mutual TLS. The edge shows its own certificate, and asks each module for the name that only
that module's certificate carries.
"""

import json
import re
import signal
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib.resources import files
from ipaddress import ip_network
from pathlib import Path
from string import Template
from typing import Final

from artstore.core import errors
from artstore.core.private_files import private_folder, write_private
from artstore.core.tls import TlsFiles
from artstore.core.web.safe_headers import POLICY, SAFE_HEADERS
from artstore.local.account import launched
from artstore.local.failures import StackFailure
from artstore.local.ports import LISTEN_ADDRESS, MonitorPorts, Ports

STOP: Final = signal.SIGTERM
RELOAD: Final = signal.SIGUSR1
"""Caddy reads its configuration again, certificates included; connections go on."""
_RETRY_AFTER_S: Final = 2

# What the edge itself answers: the first condition that holds. Anything else that goes wrong
# in it is a module that is away.
_STATUS: Final = "{err.status_code}"
_OWN_ANSWERS: Final = (
    (f"{_STATUS} == 403", 403, errors.NotPermitted, "This is not shown to your address."),
    (f"{_STATUS} == 404", 404, errors.UnknownRoute, "There is nothing at this address."),
    (f"{_STATUS} == 413", 413, errors.BodyTooLarge, "The body is larger than this address takes."),
    (f"{_STATUS} < 500", 400, errors.MalformedHttp, "The request cannot be understood."),
)
MONITORING_VARIABLE: Final = "ARTSTORE_MONITORING_ALLOW"
LOOPBACK: Final = ("127.0.0.0/8", "::1/128")
ORIGINS_VARIABLE: Final = "ARTSTORE_CORS_ORIGINS"
_ORIGIN: Final = re.compile(
    r"(https://[a-z0-9]([a-z0-9.-]*[a-z0-9])?|http://(localhost|127\.0\.0\.1))(:[1-9][0-9]{0,4})?"
)
_EXPOSED: Final = (
    "ArtStore-Receipt",
    "Content-Disposition",
    "Content-Location",
    "Content-Range",
    "ETag",
    "Location",
    "Repr-Digest",
    "Retry-After",
    "Tus-Checksum-Algorithm",
    "Tus-Extension",
    "Tus-Max-Size",
    "Tus-Resumable",
    "Tus-Version",
    "Upload-Expires",
    "Upload-Length",
    "Upload-Offset",
    "X-Correlation-Id",
)
# No credentials: a page of another origin shows a token, never the session of a browser.
_CORS: Final = """
	header @known_origin {{
		Access-Control-Allow-Origin {{http.request.header.Origin}}
		Access-Control-Expose-Headers "{exposed}"
		defer
	}}
	header {{
		+Vary Origin
		defer
	}}
"""
_PREFLIGHT: Final = """
	@known_origin {{
{origins}
	}}
	@preflight {{
		method OPTIONS
		header Access-Control-Request-Method *
{origins}
	}}
	handle @preflight {{
		header Access-Control-Allow-Methods "GET, HEAD, POST, PUT, PATCH, DELETE"
		header Access-Control-Allow-Headers {{http.request.header.Access-Control-Request-Headers}}
		header Access-Control-Max-Age 600
		respond 204
	}}
"""

_AWAY: Final = "A part of ArtStore is away for now. Nothing was lost; try again."

_LOG_FORMAT: Final = r"""
		output stdout
		format filter {
			wrap json {
				time_key timestamp
				time_format rfc3339_nano
				message_key event
			}
			# Neither secrets nor the names of documents belong into a log, and of the headers
			# only `trace_id` and `user_agent` (see the site) are worth their room.
			request>uri regexp \?.*$ ?...
			request>headers delete
			request>tls delete
			resp_headers delete
			user_id delete
		}
""".strip("\n")


@dataclass(frozen=True)
class Edge:
    program: Path
    configuration: Path
    data: Path
    ports: Ports
    tls: TlsFiles
    modules: Path
    """Certificates of the modules behind it; no other one is taken for a module."""
    origins: tuple[str, ...] = ()
    """Web pages of other origins that may call the API (`parse_origins`)."""
    monitoring_allow: tuple[str, ...] = LOOPBACK
    """Networks that the pages of monitoring are shown to (`parse_networks`)."""
    tracing: Mapping[str, str] = field(default_factory=dict)
    """The environment that tells where spans go (`tracing_environment`); empty: there are none."""

    def configure(self) -> None:
        private_folder(self.data)
        template = files("artstore.local").joinpath("Caddyfile.template").read_text("utf-8")
        text = Template(template).substitute(
            data=self.data,
            certificate=self.tls.certificate,
            key=self.tls.key,
            modules=self.modules,
            port=self.ports.edge,
            ingester=self.ports.ingester,
            query=self.ports.query,
            admin=self.ports.admin,
            **_cors(self.origins),
            log_format=_LOG_FORMAT,
            safe_headers=_safe_headers(),
            errors=_error_answers(),
            tracing="tracing {\n\t\tspan edge\n\t}" if self.tracing else "",
            monitoring=self._monitoring,
        )
        write_private(self._monitoring, self._monitoring_pages())
        write_private(self.configuration, text)

    @property
    def _monitoring(self) -> Path:
        return self.configuration.with_name("monitoring.caddy")

    def _monitoring_pages(self) -> str:
        """The part that other edges import too, with what it asks of the environment."""
        ports = MonitorPorts.beside(self.ports)
        text = files("artstore.local").joinpath("monitoring", "edge", "monitoring.caddy")
        values = {
            "ARTSTORE_MONITORING_ALLOW": " ".join(self.monitoring_allow),
            "ARTSTORE_ADMIN": f"https://{LISTEN_ADDRESS}:{self.ports.admin}",
            "ARTSTORE_PROMETHEUS": f"{LISTEN_ADDRESS}:{ports.prometheus}",
            "ARTSTORE_ALERTMANAGER": f"{LISTEN_ADDRESS}:{ports.alertmanager}",
            "ARTSTORE_GRAFANA": f"{LISTEN_ADDRESS}:{ports.grafana}",
        }
        return re.sub(r"\{\$([A-Z_]+)\}", lambda found: values[found[1]], text.read_text("utf-8"))

    def command(self) -> list[str]:
        run: list[str | Path] = [
            self.program,
            "run",
            "--config",
            self.configuration,
            "--adapter",
            "caddyfile",
        ]
        return launched(run, parent_death=signal.SIGKILL)


def parse_networks(text: str) -> tuple[str, ...]:
    """Addresses or networks, separated by spaces or commas; none: this machine only.

    Raises:
        StackFailure: One is neither.
    """
    found = text.replace(",", " ").split()
    try:
        return tuple(str(ip_network(each)) for each in found) or LOOPBACK
    except ValueError as error:
        raise StackFailure(
            f"{MONITORING_VARIABLE}: {error}. Write addresses or networks: 192.0.2.7 10.1.0.0/16"
        ) from None


def tracing_environment(endpoint: str | None, ratio: str | None) -> dict[str, str]:
    """What Caddy is told about spans, where a collector is configured.

    The edge decides by the trace id whether a trace is sampled, as the modules do (`core.spans`),
    and passes on its decision: a client outside cannot demand to be recorded.
    """
    if not endpoint:
        return {}
    return {
        "OTEL_EXPORTER_OTLP_ENDPOINT": endpoint,
        "OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf",
        "OTEL_PROPAGATORS": "tracecontext",
        "OTEL_SERVICE_NAME": "edge",
        "OTEL_TRACES_SAMPLER": "traceidratio",
        "OTEL_TRACES_SAMPLER_ARG": ratio or "1",
    }


def parse_origins(text: str) -> tuple[str, ...]:
    """Origins, separated by spaces or commas: `https://archive.example.org`.

    Raises:
        StackFailure: One is not exactly what a browser sends; `*` and `null` never are.
    """
    origins = tuple(dict.fromkeys(text.replace(",", " ").split()))
    for origin in origins:
        if not _ORIGIN.fullmatch(origin):
            raise StackFailure(
                f"{ORIGINS_VARIABLE}: {origin!r} is not an origin. Write scheme, host in lower "
                f"case and, where it is not the usual one, the port: https://archive.example.org"
            )
    return origins


def _cors(origins: Sequence[str]) -> dict[str, str]:
    """Asked first by browsers; an origin that is not listed is told nothing and sent on to be
    answered as anybody: the browser keeps the answer from the page."""
    if not origins:
        return {"cors": "", "preflight": ""}
    any_of = "\n".join(f"\t\theader Origin {origin}" for origin in origins)
    return {
        "cors": _CORS.format(exposed=", ".join(_EXPOSED)),
        "preflight": _PREFLIGHT.format(origins=any_of),
    }


def _safe_headers() -> str:
    """Said by the edge, whatever a module said; a page may have a policy of its own."""
    lines = []
    for name, value in SAFE_HEADERS.items():
        unless_said = "?" if name == POLICY else ""
        lines.append(f'\t\t{unless_said}{name} "{value}"')
    return "\n".join(lines)


def _error_answers() -> str:
    lines: list[str] = []
    for condition, status, failure, detail in _OWN_ANSWERS:
        lines.append(f"@{failure.code} expression {condition}")
        lines.append(f"respond @{failure.code} `{_problem(failure, status, detail)}` {status}")
    lines.append(f"header Retry-After {_RETRY_AFTER_S}")
    lines.append(f"respond `{_problem(errors.Unavailable, 503, _AWAY)}` 503")
    return "\n".join(f"\t\t{line}" for line in lines)


def _problem(failure: type[errors.ArtStoreError], status: int, detail: str) -> str:
    body = {
        "type": f"urn:artstore:problem:{failure.code}",
        "title": failure.title,
        "status": status,
        "detail": detail,
        "code": failure.code,
        "correlation_id": "ID",
    }
    # Braces mean placeholders to Caddy, except where escaped.
    text = json.dumps(body).replace("{", r"\{").replace("}", r"\}")
    return text.replace('"ID"', '"{correlation_id}"')
