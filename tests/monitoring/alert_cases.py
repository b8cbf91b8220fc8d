"""For each alert, series under which it fires and series under which it stays silent.

Values are promtool's notation with one sample a minute: `1x30` is 1 and thirty more of it,
`0+60x30` counts up by 60 a minute.
"""

from dataclasses import dataclass

Series = dict[str, str]
LAST = 60
"""Minutes that the series go on by default."""


@dataclass(frozen=True)
class Case:
    fires: Series
    silent: Series
    true_from_min: int = 0
    """When the condition of `fires` holds first."""
    step_min: int = 1
    """Minutes between samples, for alerts that look back for days."""


def _requests(errors: float, good: float, samples: int = LAST) -> Series:
    return {
        'http_requests_total{service="query",status="503"}': f"0+{errors}x{samples}",
        'http_requests_total{service="query",status="200"}': f"0+{good}x{samples}",
    }


def _latency(name: str, labels: str, fast: float, slow: float, bounds: tuple[str, str]) -> Series:
    """`fast` requests a minute end below the first bound, `slow` between both."""
    total = fast + slow
    return {
        f'{name}_bucket{{{labels}le="{bounds[0]}"}}': f"0+{fast}x{LAST}",
        f'{name}_bucket{{{labels}le="{bounds[1]}"}}': f"0+{total}x{LAST}",
        f'{name}_bucket{{{labels}le="+Inf"}}': f"0+{total}x{LAST}",
    }


def _capacity(free: str) -> Series:
    element = 'job="storage",instance="edit-1"'
    return {
        f'artstore_element_capacity_bytes{{{element},state="free"}}': free,
        f'artstore_element_capacity_bytes{{{element},state="used"}}': f"500x{LAST}",
    }


def _pool(in_use: int) -> Series:
    labels = 'job="admin",instance="admin-1"'
    return {
        f'artstore_db_pool_connections{{{labels},state="in_use"}}': f"{in_use}x{LAST}",
        f'artstore_db_pool_connections{{{labels},state="max"}}': f"20x{LAST}",
    }


def _element(writable: int, mode: str) -> Series:
    labels = 'job="storage",instance="edit-1"'
    return {
        f"artstore_element_writable{{{labels}}}": f"{writable}x{LAST}",
        f'artstore_element_mode{{{labels},mode="{mode}"}}': f"1x{LAST}",
    }


def _regular(last_success: str) -> Series:
    """Of two instances one does the work, every ten minutes at the latest."""
    return {
        'artstore_jobs_last_success_timestamp_seconds{instance="a",kind="x"}': last_success,
        'artstore_jobs_last_success_timestamp_seconds{instance="b",kind="x"}': "-7200x60",
        'artstore_jobs_overdue_after_seconds{instance="a",kind="x"}': "600x60",
        'artstore_jobs_overdue_after_seconds{instance="b",kind="x"}': "600x60",
    }


def _one(series: str, bad: str, good: str, true_from_min: int = 0) -> Case:
    return Case({series: bad}, {series: good}, true_from_min)


_REQUEST_TIME = ("http_request_duration_seconds", 'service="query",route="/api/v1/search",')
_STATEMENT_TIME = ("artstore_db_query_duration_seconds", 'instance="admin-1",')
_RESTORE_TIME = ("artstore_restore_duration_seconds", "")

_LONG_AGO = 4 * 24 * 12
"""Samples of four days at one in five minutes."""


def _budget(times: float, true_from_min: int) -> Case:
    """Errors at a little more, and a little less, than `times` the budget of 0.1 %."""
    per_step, share = 10_000, times * 0.001
    return Case(
        _requests(per_step * share * 1.1, per_step * (1 - share * 1.1), _LONG_AGO),
        _requests(per_step * share * 0.9, per_step * (1 - share * 0.9), _LONG_AGO),
        true_from_min,
        step_min=1 if times > 10 else 5,
    )


CASES: dict[str, Case] = {
    "ServiceDown": _one('up{job="query",instance="query-1:8030"}', "1 0x59", "1x60", 1),
    "HighErrorRate": Case(_requests(6, 94), _requests(5, 96), true_from_min=1),
    "HighResponseTime": Case(
        _latency(*_REQUEST_TIME, fast=90, slow=10, bounds=("0.5", "1")),
        _latency(*_REQUEST_TIME, fast=96, slow=4, bounds=("0.5", "1")),
        true_from_min=1,
    ),
    "ConnectionPoolExhausted": Case(_pool(19), _pool(18)),
    "LowDiskSpace": Case(_capacity(f"124x{LAST}"), _capacity(f"126x{LAST}")),
    "HighCPUUsage": Case(
        {'node_cpu_seconds_total{instance="host",mode="idle"}': "0+11x60"},
        {'node_cpu_seconds_total{instance="host",mode="idle"}': "0+13x60"},
        true_from_min=1,
    ),
    "HighMemoryUsage": Case(
        {"node_memory_MemAvailable_bytes": "14x60", "node_memory_MemTotal_bytes": "100x60"},
        {"node_memory_MemAvailable_bytes": "16x60", "node_memory_MemTotal_bytes": "100x60"},
    ),
    "SlowQueries": Case(
        _latency(*_STATEMENT_TIME, fast=90, slow=10, bounds=("1", "2.5")),
        _latency(*_STATEMENT_TIME, fast=96, slow=4, bounds=("1", "2.5")),
        true_from_min=1,
    ),
    "RedisConnectionFailed": _one("artstore_redis_up", "0x60", "1x60"),
    "HighFileUploadFailureRate": Case(
        {
            'artstore_uploads_total{outcome="failed"}': "0+11x60",
            'artstore_uploads_total{outcome="accepted"}': "0+89x60",
        },
        {
            'artstore_uploads_total{outcome="failed"}': "0+9x60",
            'artstore_uploads_total{outcome="accepted"}': "0+91x60",
            'artstore_uploads_total{outcome="refused"}': "0+900x60",
        },
        true_from_min=1,
    ),
    "FileRestoreSlowness": Case(
        _latency(*_RESTORE_TIME, fast=90, slow=10, bounds=("30", "60")),
        _latency(*_RESTORE_TIME, fast=96, slow=4, bounds=("30", "60")),
        true_from_min=1,
    ),
    "ElementNotWritable": Case(_element(0, "edit"), {**_element(0, "ro")}),
    "ElementFullSoon": Case(
        {'artstore_element_capacity_bytes{state="free"}': "60000-10x480"},
        {'artstore_element_capacity_bytes{state="free"}': "70000-10x480"},
        true_from_min=241,
    ),
    "CatalogueBehind": _one('artstore_catalogue_lag_seconds{element="edit-1"}', "61x60", "59x60"),
    "FilesMissing": _one('artstore_catalogue_missing_files{element="edit-1"}', "1x60", "0x60"),
    "AuditLogStuck": _one("artstore_audit_outbox_age_seconds", "121x60", "119x60"),
    "AuditLogBroken": _one("artstore_audit_log_broken", "0 1x59", "0x60", 1),
    "WitnessBehind": Case(
        {'artstore_audit_witness_behind_entries{witness="w"}': "5x60"},
        {'artstore_audit_witness_behind_entries{witness="w"}': "5 5 0 5 5 5 5 0 5 5 5 0 5 5 0"},
    ),
    "WitnessAlarm": _one('artstore_audit_witness_alarms_total{witness="w"}', "0 1x59", "3x60", 1),
    "DamageFound": _one('artstore_scrub_open_findings{kind="damaged"}', "1x60", "0x60"),
    # promtool's clock begins at 1970, so the last pass lies before it.
    "ScrubOverdue": _one(
        "artstore_scrub_last_completed_timestamp_seconds", "-2592060x120", "-2580000x120"
    ),
    "ArchiveAway": _one("artstore_archive_trouble", "1x60", "0x60"),
    "AntivirusAway": Case(
        {"artstore_antivirus_up": "0x60", "artstore_antivirus_set_up": "1x60"},
        {"artstore_antivirus_up": "0x60", "artstore_antivirus_set_up": "0x60"},
    ),
    "InfectedFileStored": _one(
        'artstore_rescanned_files_total{verdict="infected"}', "0 1x59", "3x60", 1
    ),
    "CopiesBelowTarget": _one("artstore_copies_below_target", "1x480", "0x480"),
    "ElementNearlyFull": _one('artstore_element_capacity_state{state="critical"}', "1x60", "0x60"),
    "JobsFailing": Case(
        {'artstore_jobs_runs_total{kind="repair",outcome="failed"}': "0 1x59"},
        {'artstore_jobs_runs_total{kind="repair",outcome="retried"}': "0 1x59"},
        true_from_min=1,
    ),
    "AuditBacklog": _one("artstore_audit_backlog_events", "100001x60", "100000x60"),
    "AuditReportsLost": _one("artstore_audit_spool_lost_events_total", "0 1x59", "1x60", 1),
    # promtool's clock begins at 1970: 20 or 40 minutes beyond the limit are the ends.
    "CertificateEndsSoon": Case(
        {'artstore_certificate_expiry_timestamp_seconds{kind="certificate"}': "87600x60"},
        {'artstore_certificate_expiry_timestamp_seconds{kind="certificate"}': "90000x60"},
        true_from_min=21,
    ),
    "RevocationsEndSoon": Case(
        {'artstore_certificate_expiry_timestamp_seconds{kind="revocations"}': "433200x60"},
        {'artstore_certificate_expiry_timestamp_seconds{kind="revocations"}': "435600x60"},
        true_from_min=21,
    ),
    "AuthorityEndsSoon": Case(
        {'artstore_certificate_expiry_timestamp_seconds{kind="authority"}': "7777200x60"},
        {'artstore_certificate_expiry_timestamp_seconds{kind="authority"}': "7779600x60"},
        true_from_min=21,
    ),
    "SecretUnreadable": Case(
        {"artstore_secret_readable{secret='valkey_password'}": "0x60"},
        {
            "artstore_secret_readable{secret='valkey_password'}": "1x60",
            "artstore_secret_source_up{source='openbao'}": "1x60",
        },
    ),
    # A quarter of an hour and 20 or 90 minutes are the ends.
    "SecretLeaseEndsSoon": Case(
        {"artstore_secret_expiry_timestamp_seconds{secret='database_password'}": "2100x60"},
        {"artstore_secret_expiry_timestamp_seconds{secret='database_password'}": "6300x60"},
        true_from_min=21,
    ),
    # Changed a hundred days before the beginning, and one of them after it.
    "CredentialOverdue": Case(
        {"artstore_secret_changed_timestamp_seconds{secret='valkey_password'}": "-8640000x90"},
        {
            "artstore_secret_changed_timestamp_seconds{secret='valkey_password'}": "-8550000x90",
            "artstore_secret_changed_timestamp_seconds{secret='key_encryption_key'}": "-9000000x90",
        },
        true_from_min=1,
    ),
    "SigningKeyOverdue": _one("artstore_signing_key_due_timestamp_seconds", "-3600x60", "0x60", 1),
    "AccountEndsSoon": Case(
        {"artstore_account_expiry_timestamp_seconds": "606000x60"},
        {"artstore_account_expiry_timestamp_seconds": "0x60"},
        true_from_min=21,
    ),
    "JobOverdue": Case(_regular("0x60"), _regular("0+60x60"), 11),
    "BackupOverdue": _one(
        "artstore_backup_last_success_timestamp_seconds", "-93600x120", "-86400x120", 1
    ),
    "AntivirusStale": _one("artstore_antivirus_signature_age_seconds", "172801x120", "172799x120"),
    "ErrorBudgetBurnsFast": _budget(14.4, 1),
    "ErrorBudgetBurns": _budget(6, 5),
    "ErrorBudgetBurnsSlowly": _budget(3, 5),
    "ErrorBudgetShrinks": _budget(1, 5),
}

ALWAYS_FIRING = frozenset({"Watchdog"})
