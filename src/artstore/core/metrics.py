"""Every metric of ArtStore, once: name, help, unit, labels.

Names follow `artstore_<thing>_<unit>[_total]`, in seconds and bytes. Labels have few values:
never an id, a name or an address.
"""

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    PlatformCollector,
    ProcessCollector,
)

REGISTRY = CollectorRegistry()
ProcessCollector(registry=REGISTRY)
PlatformCollector(registry=REGISTRY)

_BYTES = [float(1 << bits) for bits in range(10, 41, 3)]
_TRANSFER_S = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 1800]
_FSYNC_S = [0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5, 1, 5]

# --- every module (names fixed by the contract with Prometheus, S14) ------------------

HTTP_REQUESTS = Counter(
    "http_requests",
    "HTTP requests answered. Status 499: the client left first.",
    ["service", "method", "route", "status"],
    registry=REGISTRY,
)
HTTP_REQUEST_DURATION = Histogram(
    "http_request_duration_seconds",
    "Time from the head of a request to the end of its answer.",
    ["service", "route"],
    buckets=[0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10],
    registry=REGISTRY,
)
BUILD_INFO = Gauge(
    "artstore_build_info",
    "Always 1; the labels say what runs.",
    ["service", "instance", "version"],
    registry=REGISTRY,
)
CERTIFICATE_EXPIRY = Gauge(
    "artstore_certificate_expiry_timestamp_seconds",
    "When what this process trusts by ends, seconds since 1970.",
    ["kind"],
    registry=REGISTRY,
)
SECRET_CHANGED = Gauge(
    "artstore_secret_changed_timestamp_seconds",
    "When a secret that this process knows of was changed last, seconds since 1970.",
    ["secret"],
    registry=REGISTRY,
)
SECRET_READABLE = Gauge(
    "artstore_secret_readable",
    "0 when a secret cannot be read any more: the process goes on with the last good one.",
    ["secret"],
    registry=REGISTRY,
)
SECRET_SOURCE_UP = Gauge(
    "artstore_secret_source_up",
    "0 when a source of secrets does not answer or refuses: what it gave before is kept.",
    ["source"],
    registry=REGISTRY,
)
SECRET_EXPIRY = Gauge(
    "artstore_secret_expiry_timestamp_seconds",
    "When something leased from OpenBao ends unless it is renewed, seconds since 1970.",
    ["secret"],
    registry=REGISTRY,
)
DB_POOL_CONNECTIONS = Gauge(
    "artstore_db_pool_connections",
    "Connections of the database pool by state.",
    ["state"],
    registry=REGISTRY,
)
DB_QUERY_DURATION = Histogram(
    "artstore_db_query_duration_seconds",
    "Time of one statement, as the module sees it.",
    buckets=[0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10],
    registry=REGISTRY,
)

# --- ingester -------------------------------------------------------------------------

UPLOAD_DURATION = Histogram(
    "artstore_upload_duration_seconds",
    "Time of an accepted upload, from its first byte to durable.",
    buckets=_TRANSFER_S,
    registry=REGISTRY,
)
UPLOAD_SIZE = Histogram(
    "artstore_upload_size_bytes",
    "Size of an accepted upload.",
    buckets=_BYTES,
    registry=REGISTRY,
)
UPLOAD_BATCH_SIZE = Histogram(
    "artstore_upload_batch_size",
    "Small uploads that one request took to a storage element.",
    buckets=[1, 2, 4, 8, 16, 32, 64, 128, 256],
    registry=REGISTRY,
)
RECEIPTS_MISSING = Counter(
    "artstore_receipts_missing",
    "Uploads that were accepted without a deposit receipt: no key was registered.",
    registry=REGISTRY,
)
UPLOADS = Counter(
    "artstore_uploads",
    "Uploads by outcome: accepted, refused (by a rule), failed (by us), aborted (by the client).",
    ["outcome"],
    registry=REGISTRY,
)

TYPE_MISMATCHES = Counter(
    "artstore_type_mismatches",
    "Uploads whose content is not of the declared type, by what became of them: refuse, flag.",
    ["action"],
    registry=REGISTRY,
)

SCANS = Counter(
    "artstore_scans",
    "Scans for viruses by verdict: clean, infected, unscanned, and why something was not scanned.",
    ["verdict", "reason"],
    registry=REGISTRY,
)
SCAN_DURATION = Histogram(
    "artstore_scan_duration_seconds",
    "Time from the last byte of a content to the verdict of the scanner.",
    buckets=[0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1, 5, 15, 45],
    registry=REGISTRY,
)
ANTIVIRUS_UP = Gauge(
    "artstore_antivirus_up",
    "1 while the virus scanner answers, 0 while it does not; also 0 where none is set up.",
    registry=REGISTRY,
)
ANTIVIRUS_SET_UP = Gauge(
    "artstore_antivirus_set_up", "1 where a virus scanner is set up.", registry=REGISTRY
)
ANTIVIRUS_SIGNATURE_AGE = Gauge(
    "artstore_antivirus_signature_age_seconds",
    "Age of the virus scanner's signatures; 0 where it does not tell.",
    registry=REGISTRY,
)

# --- query ----------------------------------------------------------------------------

SEARCH_DURATION = Histogram(
    "artstore_search_duration_seconds",
    "Time of one search.",
    buckets=[0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5],
    registry=REGISTRY,
)
DOWNLOAD_BYTES = Counter("artstore_download_bytes", "Bytes of files handed out.", registry=REGISTRY)

# --- storage --------------------------------------------------------------------------

WAL_FSYNC_DURATION = Histogram(
    "artstore_wal_fsync_duration_seconds",
    "Time of one flush of the log to the disk.",
    buckets=_FSYNC_S,
    registry=REGISTRY,
)
WAL_GROUP_SIZE = Histogram(
    "artstore_wal_group_size",
    "Records that one flush of the log made durable.",
    buckets=[1, 2, 4, 8, 16, 32, 64, 128, 256],
    registry=REGISTRY,
)
ELEMENT_CAPACITY = Gauge(
    "artstore_element_capacity_bytes",
    "The element's volume by state: used, free, reserved.",
    ["state"],
    registry=REGISTRY,
)
ELEMENT_CAPACITY_STATE = Gauge(
    "artstore_element_capacity_state",
    "1 for the state the element's room is in: ok, warning, critical or full; 0 for the others.",
    ["state"],
    registry=REGISTRY,
)
ELEMENT_MODE = Gauge(
    "artstore_element_mode",
    "1 for the mode the element is in: edit, rw, ro, ar.",
    ["mode"],
    registry=REGISTRY,
)
ELEMENT_WRITABLE = Gauge(
    "artstore_element_writable",
    "0 when the element takes no files: its mode forbids it or its volume failed.",
    registry=REGISTRY,
)

SCRUB_FILES = Counter("artstore_scrub_files", "Files that the scrub looked at.", registry=REGISTRY)
SCRUB_BYTES = Counter(
    "artstore_scrub_bytes",
    "Bytes that the scrub read: contents, records and the log.",
    registry=REGISTRY,
)
SCRUB_FINDINGS = Counter(
    "artstore_scrub_findings",
    "What the scrub found for the first time, and what was repaired or cleared since, by kind.",
    ["kind"],
    registry=REGISTRY,
)
SCRUB_OPEN_FINDINGS = Gauge(
    "artstore_scrub_open_findings",
    "Findings of the scrub that are not repaired yet, by kind.",
    ["kind"],
    registry=REGISTRY,
)
SCRUB_LAST_COMPLETED = Gauge(
    "artstore_scrub_last_completed_timestamp_seconds",
    "When the last whole pass of the scrub ended, seconds since 1970; before the first, when"
    " the element was made.",
    registry=REGISTRY,
)
SCRUB_PROGRESS = Gauge(
    "artstore_scrub_progress_ratio",
    "How much of the running pass of the scrub is done, about; 1 when none runs.",
    registry=REGISTRY,
)
ARCHIVE_TROUBLE = Gauge(
    "artstore_archive_trouble",
    "1 while an element in mode ar cannot use its archive.",
    registry=REGISTRY,
)
ARCHIVED_FILES = Counter(
    "artstore_archived_files",
    "Files whose content moved to the element's archive.",
    registry=REGISTRY,
)
ARCHIVED_BYTES = Counter(
    "artstore_archived_bytes",
    "Bytes that moved to the element's archive.",
    registry=REGISTRY,
)

# --- admin ----------------------------------------------------------------------------

CATALOGUE_LAG = Gauge(
    "artstore_catalogue_lag_seconds",
    "Age of the oldest change of an element that the catalogue does not show yet.",
    ["element"],
    registry=REGISTRY,
)
CATALOGUE_CHANGES = Counter(
    "artstore_catalogue_changes",
    "Changes of an element written to the catalogue.",
    ["element"],
    registry=REGISTRY,
)
CATALOGUE_MISSING_FILES = Gauge(
    "artstore_catalogue_missing_files",
    "Files that the catalogue knows and the last listing of their element lacked.",
    ["element"],
    registry=REGISTRY,
)
REDIS_UP = Gauge("artstore_redis_up", "1 while Valkey answers.", registry=REGISTRY)
LOGINS = Counter(
    "artstore_logins",
    "Attempts to get a token: succeeded, refused, throttled.",
    ["outcome"],
    registry=REGISTRY,
)

JOBS = Gauge(
    "artstore_jobs",
    "Jobs that are not over, and those given up, by state.",
    ["kind", "state"],
    registry=REGISTRY,
)
JOBS_RUNS = Counter(
    "artstore_jobs_runs",
    "Attempts at jobs by outcome: done, waiting, queued, retried, failed, cancelled, lost.",
    ["kind", "outcome"],
    registry=REGISTRY,
)
JOBS_DURATION = Histogram(
    "artstore_jobs_duration_seconds",
    "Time of one attempt at a job.",
    ["kind"],
    buckets=[0.01, 0.1, 0.5, 1, 5, 30, 60, 300, 1800, 7200],
    registry=REGISTRY,
)
JOBS_LAST_SUCCESS = Gauge(
    "artstore_jobs_last_success_timestamp_seconds",
    "When work of a kind last went well here, seconds since 1970.",
    ["kind"],
    registry=REGISTRY,
)
JOBS_OVERDUE_AFTER = Gauge(
    "artstore_jobs_overdue_after_seconds",
    "How long ago the last success of regular work may be.",
    ["kind"],
    registry=REGISTRY,
)
SIGNING_KEY_DUE = Gauge(
    "artstore_signing_key_due_timestamp_seconds",
    "When another key should sign tokens instead of the present one, seconds since 1970.",
    registry=REGISTRY,
)
ACCOUNT_EXPIRY = Gauge(
    "artstore_account_expiry_timestamp_seconds",
    "When the next service account ends, seconds since 1970; 0: none has an end.",
    registry=REGISTRY,
)
COPIES = Gauge(
    "artstore_copies_files",
    "Copies of files that more than one element holds, or that are damaged, by state.",
    ["state"],
    registry=REGISTRY,
)
COPIES_BELOW_TARGET = Gauge(
    "artstore_copies_below_target",
    "Files whose copies are not, or not known to be, as their collection asks.",
    registry=REGISTRY,
)
COPIES_MADE = Counter(
    "artstore_copies_made",
    "Orders to elements to take over a file, by purpose and outcome: done, refused.",
    ["purpose", "outcome"],
    registry=REGISTRY,
)
RESTORE_DURATION = Histogram(
    "artstore_restore_duration_seconds",
    "Time from the request to restore an archived file until it can be read.",
    buckets=_TRANSFER_S,
    registry=REGISTRY,
)

RESCANNED = Counter(
    "artstore_rescanned_files",
    "Stored files that were scanned again for viruses, by verdict; failed: it could not be done.",
    ["verdict"],
    registry=REGISTRY,
)

# --- audit ----------------------------------------------------------------------------

AUDIT_EVENTS = Counter(
    "artstore_audit_events", "Events written to the audit log.", registry=REGISTRY
)
AUDIT_LOG_ENTRIES = Gauge(
    "artstore_audit_log_entries", "Entries of the audit log.", registry=REGISTRY
)
AUDIT_OUTBOX_AGE = Gauge(
    "artstore_audit_outbox_age_seconds",
    "Age of the oldest event that is not in the audit log yet.",
    registry=REGISTRY,
)
AUDIT_BACKLOG = Gauge(
    "artstore_audit_backlog_events",
    "Events that are not in the audit log yet. At a limit, changes are refused.",
    registry=REGISTRY,
)
AUDIT_APPEND_DURATION = Histogram(
    "artstore_audit_append_duration_seconds",
    "Time to log one batch of events: flushed, signed and indexed.",
    buckets=[0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5],
    registry=REGISTRY,
)
AUDIT_CHECKPOINT_SIGNED = Gauge(
    "artstore_audit_checkpoint_signed_timestamp_seconds",
    "When the newest checkpoint of the audit log was signed, seconds since 1970.",
    registry=REGISTRY,
)
AUDIT_STAMPED = Gauge(
    "artstore_audit_stamped_timestamp_seconds",
    "When the newest time stamp over the audit log was given, seconds since 1970.",
    registry=REGISTRY,
)
AUDIT_LOG_BROKEN = Gauge(
    "artstore_audit_log_broken",
    "1 when the audit log cannot be written: it is damaged, was put back, or its disk failed.",
    registry=REGISTRY,
)
AUDIT_WITNESS_BEHIND = Gauge(
    "artstore_audit_witness_behind_entries",
    "Entries of the audit log that the witness has not confirmed yet.",
    ["witness"],
    registry=REGISTRY,
)
AUDIT_WITNESS_ALARMS = Counter(
    "artstore_audit_witness_alarms",
    "A witness refused or answered what cannot be true: log or witness was put back or forked.",
    ["witness"],
    registry=REGISTRY,
)
AUDIT_SPOOL_BYTES = Gauge(
    "artstore_audit_spool_bytes",
    "Audit events of this module that the admin module has not taken over yet.",
    registry=REGISTRY,
)
AUDIT_SPOOL_LOST = Counter(
    "artstore_audit_spool_lost_events",
    "Refusals that could not be written down, and events that were damaged before delivery.",
    registry=REGISTRY,
)
