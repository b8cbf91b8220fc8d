"""Writes the dashboards: `python monitoring/grafana/generate.py`. A test compares the result.

Panels are data: a title, what it shows, a unit and its queries. Grafana's own form is made of
them in one place, so that a dashboard is reviewed by its queries and not by its JSON.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

FOLDER: Final = Path(__file__).parent / "dashboards"
DATASOURCE: Final = {"type": "prometheus", "uid": "artstore-prometheus"}
SCHEMA_VERSION: Final = 39
WIDTH: Final = 24
HEIGHT: Final = 8


@dataclass(frozen=True)
class Query:
    expr: str
    legend: str = ""


@dataclass(frozen=True)
class Panel:
    title: str
    description: str
    unit: str
    """Grafana's name: s, bytes, Bps, reqps, percentunit, short, dateTimeAsIso."""
    queries: tuple[Query, ...]
    kind: str = "timeseries"
    thresholds: tuple[tuple[float | None, str], ...] = ((None, "green"),)
    width: int = 12
    maximum: float | None = None


@dataclass(frozen=True)
class Dashboard:
    uid: str
    title: str
    panels: tuple[Panel, ...]


def quantile(q: float, metric: str, by: str = "", matching: str = "") -> Query:
    labels = f"{by}, le" if by else "le"
    selector = f"{{{matching}}}" if matching else ""
    legend = f"p{q * 100:g} {{{{{by}}}}}" if by else f"p{q * 100:g}"
    return Query(
        f"histogram_quantile({q}, sum by ({labels}) (rate({metric}_bucket{selector}[5m])))", legend
    )


def rate(metric: str, by: str = "", matching: str = "") -> Query:
    selector = f"{{{matching}}}" if matching else ""
    total = f"sum by ({by})" if by else "sum"
    return Query(f"{total} (rate({metric}{selector}[5m]))", f"{{{{{by}}}}}" if by else "")


OVERVIEW = Dashboard(
    "artstore-overview",
    "ArtStore - System Overview",
    (
        Panel(
            "Services up",
            "Instances that Prometheus reaches, of all it should.",
            "percentunit",
            (Query('avg by (job) (up{job=~"admin|storage|ingester|query"})', "{{job}}"),),
            kind="gauge",
            thresholds=((None, "red"), (0.5, "orange"), (1, "green")),
            maximum=1,
        ),
        Panel(
            "HTTP requests",
            "Requests a second by service.",
            "reqps",
            (Query("service:http_requests:rate5m", "{{service}}"),),
        ),
        Panel(
            "Response time",
            "p95 and p99 by service. Transfers and long polls are not counted.",
            "s",
            (
                Query("service:http_request_duration_seconds:p95_5m", "p95 {{service}}"),
                Query("service:http_request_duration_seconds:p99_5m", "p99 {{service}}"),
            ),
        ),
        Panel(
            "Errors",
            "Share of requests that ended with a status of 500 or more.",
            "percentunit",
            (Query("service:http_request_errors:ratio5m", "{{service}}"),),
            thresholds=((None, "green"), (0.01, "orange"), (0.05, "red")),
        ),
        Panel(
            "Room on elements",
            "Bytes of each element's volume.",
            "bytes",
            (Query("artstore_element_capacity_bytes", "{{instance}} {{state}}"),),
        ),
        Panel(
            "Alerts",
            "What fires now.",
            "short",
            (Query('count by (alertname) (ALERTS{alertstate="firing"})', "{{alertname}}"),),
        ),
    ),
)

INGEST = Dashboard(
    "artstore-ingest",
    "ArtStore - Ingest",
    (
        Panel(
            "Uploads",
            "A second, by outcome.",
            "reqps",
            (rate("artstore_uploads_total", "outcome"),),
        ),
        Panel(
            "Upload time",
            "From the first byte to durable.",
            "s",
            (
                quantile(0.5, "artstore_upload_duration_seconds"),
                quantile(0.99, "artstore_upload_duration_seconds"),
            ),
        ),
        Panel("Bytes in", "Of accepted uploads.", "Bps", (rate("artstore_upload_size_bytes_sum"),)),
        Panel(
            "Upload size",
            "Half of the uploads are smaller, one in a hundred is larger.",
            "bytes",
            (
                quantile(0.5, "artstore_upload_size_bytes"),
                quantile(0.99, "artstore_upload_size_bytes"),
            ),
        ),
        Panel(
            "Failed uploads",
            "Share that failed through our fault.",
            "percentunit",
            (Query("artstore:uploads_failed:ratio5m", "failed"),),
        ),
        Panel(
            "Scans for viruses",
            "A second, by verdict; 0 where nothing is scanned.",
            "reqps",
            (
                Query(
                    "sum by (verdict) (rate(artstore_scans_total[5m]))"
                    " or sum(rate(artstore_uploads_total[5m])) * 0",
                    "{{verdict}}",
                ),
            ),
        ),
        Panel(
            "Virus signatures",
            "Age of the oldest that a scanner works with; 0 where none is set up.",
            "s",
            (Query("max(artstore_antivirus_signature_age_seconds)", "age"),),
            thresholds=((None, "green"), (2 * 86400, "orange")),
        ),
        Panel("Bytes out", "Of downloads.", "Bps", (rate("artstore_download_bytes_total"),)),
    ),
)

STORAGE = Dashboard(
    "artstore-storage",
    "ArtStore - Storage and integrity",
    (
        Panel(
            "Flush of the log",
            "How long the disk takes to promise.",
            "s",
            (
                quantile(0.5, "artstore_wal_fsync_duration_seconds", "instance"),
                quantile(0.99, "artstore_wal_fsync_duration_seconds", "instance"),
            ),
        ),
        Panel(
            "Changes per flush",
            "How many changes one flush made durable: the busier, the more.",
            "short",
            (
                Query(
                    "sum by (instance) (rate(artstore_wal_group_size_sum[5m]))"
                    " / sum by (instance) (rate(artstore_wal_group_size_count[5m]))",
                    "{{instance}}",
                ),
            ),
        ),
        Panel(
            "Writable",
            "1 while the element takes files.",
            "short",
            (Query("artstore_element_writable", "{{instance}}"),),
            kind="stat",
        ),
        Panel(
            "Missing files",
            "Files that the catalogue knows and their element does not show.",
            "short",
            (Query("artstore_catalogue_missing_files", "{{element}}"),),
            kind="stat",
            thresholds=((None, "green"), (1, "red")),
        ),
        Panel(
            "Catalogue behind",
            "Age of the oldest change that search does not show yet.",
            "s",
            (Query("artstore_catalogue_lag_seconds", "{{element}}"),),
        ),
        Panel(
            "Changes taken over",
            "Into the catalogue, a second.",
            "reqps",
            (rate("artstore_catalogue_changes_total", "element"),),
        ),
    ),
)

JOBS = Dashboard(
    "artstore-jobs",
    "ArtStore - Integrity and jobs",
    (
        Panel(
            "Open findings",
            "What the scrub found and nothing has repaired yet.",
            "short",
            (Query("sum by (instance) (artstore_scrub_open_findings)", "{{instance}}"),),
            kind="stat",
            thresholds=((None, "green"), (1, "red")),
        ),
        Panel(
            "Last whole check",
            "Age of the last pass of the scrub that ended.",
            "s",
            (Query("time() - artstore_scrub_last_completed_timestamp_seconds", "{{instance}}"),),
        ),
        Panel(
            "Scrub",
            "Bytes read a second.",
            "Bps",
            (rate("artstore_scrub_bytes_total", "instance"),),
        ),
        Panel(
            "Copies below target",
            "Files with fewer copies than their collection asks for.",
            "short",
            (Query("artstore_copies_below_target", ""),),
            kind="stat",
            thresholds=((None, "green"), (1, "orange")),
        ),
        Panel(
            "Restores in an hour",
            "Archived files that can be read again, and how many of them took longer than 30 s.",
            "short",
            (
                Query("sum(increase(artstore_restore_duration_seconds_count[1h]))", "all"),
                Query(
                    "sum(increase(artstore_restore_duration_seconds_count[1h]))"
                    ' - sum(increase(artstore_restore_duration_seconds_bucket{le="30.0"}[1h]))',
                    "slow",
                ),
            ),
        ),
        Panel(
            "Regular work",
            "Time since the last success, by kind. The alert JobOverdue knows how long it may be.",
            "s",
            (
                Query(
                    "time() - max by (kind) (artstore_jobs_last_success_timestamp_seconds)",
                    "{{kind}}",
                ),
            ),
        ),
        Panel(
            "Room",
            "The state each element's room is in.",
            "short",
            (Query("artstore_element_capacity_state == 1", "{{instance}} {{state}}"),),
        ),
        Panel(
            "Waiting audit events",
            "Not in the signed log yet.",
            "short",
            (Query("artstore_audit_backlog_events", ""),),
        ),
    ),
)

SEARCH = Dashboard(
    "artstore-search",
    "ArtStore - Search and database",
    (
        Panel(
            "Search time",
            "Of one search.",
            "s",
            (
                quantile(0.5, "artstore_search_duration_seconds"),
                quantile(0.99, "artstore_search_duration_seconds"),
            ),
        ),
        Panel("Searches", "A second.", "reqps", (rate("artstore_search_duration_seconds_count"),)),
        Panel(
            "Statements",
            "Time of one database statement.",
            "s",
            (quantile(0.95, "artstore_db_query_duration_seconds", "instance"),),
        ),
        Panel(
            "Database connections",
            "Of each module's pool.",
            "short",
            (Query("artstore_db_pool_connections", "{{instance}} {{state}}"),),
        ),
    ),
)

IDENTITY = Dashboard(
    "artstore-identity",
    "ArtStore - Identity and audit",
    (
        Panel(
            "Sign-ins",
            "A second, by outcome.",
            "reqps",
            (rate("artstore_logins_total", "outcome"),),
        ),
        Panel(
            "Refused requests",
            "401 and 403 by service.",
            "reqps",
            (
                Query(
                    'sum by (service) (rate(http_requests_total{status=~"401|403"}[5m]))'
                    " or sum by (service) (rate(http_requests_total[5m])) * 0",
                    "{{service}}",
                ),
            ),
        ),
        Panel("Audit events", "Logged a second.", "reqps", (rate("artstore_audit_events_total"),)),
        Panel(
            "Waiting audit events",
            "Age of the oldest event that is not in the log yet.",
            "s",
            (Query("artstore_audit_outbox_age_seconds", ""),),
        ),
        Panel(
            "Valkey",
            "1 while it answers.",
            "short",
            (Query("artstore_redis_up", "{{instance}}"),),
            kind="stat",
            thresholds=((None, "red"), (1, "green")),
        ),
        Panel(
            "Certificates",
            "Time until the first of a kind ends. Leaves are renewed at two thirds of their life.",
            "s",
            (
                Query(
                    "min by (kind) (artstore_certificate_expiry_timestamp_seconds) - time()",
                    "{{kind}}",
                ),
            ),
        ),
        Panel(
            "Signing key",
            "Time until another key should sign tokens.",
            "s",
            (Query("max(artstore_signing_key_due_timestamp_seconds) - time()", "due"),),
        ),
        Panel(
            "Checkpoint",
            "Age of the newest signed checkpoint. It grows while nothing happens.",
            "s",
            (Query("time() - artstore_audit_checkpoint_signed_timestamp_seconds", ""),),
        ),
    ),
)

HOST = Dashboard(
    "artstore-host",
    "ArtStore - Host",
    (
        Panel(
            "Processors",
            "Share in use.",
            "percentunit",
            (
                Query(
                    '1 - avg by (instance) (rate(node_cpu_seconds_total{mode="idle"}[5m]))',
                    "{{instance}}",
                ),
            ),
        ),
        Panel(
            "Memory",
            "Share in use.",
            "percentunit",
            (
                Query(
                    "1 - node_memory_MemAvailable_bytes / node_memory_MemTotal_bytes",
                    "{{instance}}",
                ),
            ),
        ),
        Panel(
            "Memory of modules",
            "Resident bytes. They do not grow with the number of files.",
            "bytes",
            (
                Query(
                    'process_resident_memory_bytes{job=~"admin|storage|ingester|query"}',
                    "{{job}} {{instance}}",
                ),
            ),
        ),
        Panel(
            "Processors by module",
            "Seconds of processor time a second.",
            "short",
            (
                Query(
                    'rate(process_cpu_seconds_total{job=~"admin|storage|ingester|query"}[5m])',
                    "{{job}} {{instance}}",
                ),
            ),
        ),
    ),
)

DASHBOARDS: Final = (OVERVIEW, INGEST, STORAGE, JOBS, SEARCH, IDENTITY, HOST)


def grafana(dashboard: Dashboard) -> dict[str, Any]:
    """Grafana's own form."""
    return {
        "uid": dashboard.uid,
        "title": dashboard.title,
        "tags": ["artstore"],
        "schemaVersion": SCHEMA_VERSION,
        "timezone": "browser",
        "refresh": "30s",
        "time": {"from": "now-6h", "to": "now"},
        "editable": False,
        "links": [
            {"type": "dashboards", "title": "ArtStore", "tags": ["artstore"], "asDropdown": True}
        ],
        "panels": _placed(dashboard.panels),
    }


def _placed(panels: Sequence[Panel]) -> list[dict[str, Any]]:
    placed, x, y = [], 0, 0
    for number, panel in enumerate(panels, 1):
        if x + panel.width > WIDTH:
            x, y = 0, y + HEIGHT
        placed.append(_panel(panel, number) | {"gridPos": _position(x, y, panel.width)})
        x += panel.width
    return placed


def _position(x: int, y: int, width: int) -> dict[str, int]:
    return {"x": x, "y": y, "w": width, "h": HEIGHT}


def _panel(panel: Panel, number: int) -> dict[str, Any]:
    steps = [{"value": value, "color": color} for value, color in panel.thresholds]
    defaults: dict[str, Any] = {
        "unit": panel.unit,
        "min": 0,
        "noValue": "no data",
        "thresholds": {"mode": "absolute", "steps": steps},
    }
    if panel.maximum is not None:
        defaults["max"] = panel.maximum
    return {
        "id": number,
        "type": panel.kind,
        "title": panel.title,
        "description": panel.description,
        "datasource": DATASOURCE,
        "fieldConfig": {"defaults": defaults, "overrides": []},
        "targets": [
            {
                "refId": chr(ord("A") + index),
                "datasource": DATASOURCE,
                "expr": query.expr,
                "legendFormat": query.legend,
            }
            for index, query in enumerate(panel.queries)
        ],
    }


def rendered(dashboard: Dashboard) -> str:
    return json.dumps(grafana(dashboard), indent=2, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    for each in DASHBOARDS:
        (FOLDER / f"{each.uid}.json").write_text(rendered(each), "utf-8")
