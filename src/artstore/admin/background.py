"""What runs beside the requests: followers, the writer of the audit log, jobs."""

from collections.abc import Coroutine
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from cryptography.x509 import Certificate

from artstore.admin.jobs.audit_backlog import AuditBacklog
from artstore.admin.jobs.audit_log import AuditLogWriter
from artstore.admin.jobs.copying import CopyJobs
from artstore.admin.jobs.credential_ages import show_credential_ages
from artstore.admin.jobs.followers import Followers
from artstore.admin.jobs.key_rotation import rotate_keys
from artstore.admin.jobs.restoring import RestoreJobs
from artstore.admin.jobs.scanning import ScanJobs
from artstore.admin.jobs.usage import count_usage
from artstore.admin.jobs.worker import JobWorker
from artstore.admin.repository.positions import connect, registered
from artstore.admin.resources import DATABASE_PASSWORD, VALKEY_PASSWORD, Resources
from artstore.admin.services.audit.places import log_store, made_log_store
from artstore.admin.services.audit.sequencer import LogIdentity
from artstore.admin.services.audit.stamping import Stamping
from artstore.admin.services.audit.witnesses import Witnesses, read_witnesses
from artstore.admin.services.catalogue.following import Source
from artstore.admin.services.rescanning import RESCAN, Rescanning
from artstore.admin.services.restoring.doing import Restoring
from artstore.core.audit.stamps import InvalidStamp, read_authorities
from artstore.core.remote import towards
from artstore.core.revocation_sources import follow_valkey, revocation_client
from artstore.core.settings import ConfigurationError
from artstore.core.tlog.store import LogStore


def background_work(parts: Resources) -> list[Coroutine[Any, Any, None]]:
    """All that runs while requests are answered; none of it ends by itself."""
    scanning = _scan_jobs(parts)
    copying = _copy_jobs(parts)
    audit_writer = _audit_writer(parts)
    return [
        parts.database.renew_idle(),
        show_credential_ages(parts.database),
        parts.valkey.watch(),
        parts.revocations.run(),
        _revocations_in_valkey(parts),
        rotate_keys(parts.rotation),
        _followers(parts).run(),
        audit_writer.run(),
        parts.receipts.run(),
        _audit_backlog(parts).run(),
        _job_worker(parts, copying, scanning).run(),
        scanning.begin(),
        copying.watch(),
        count_usage(parts.database),
    ]


async def _revocations_in_valkey(parts: Resources) -> None:
    """What other instances revoke, also while this one does not reach the database."""
    settings = parts.settings
    login = parts.secrets.login_source(VALKEY_PASSWORD)
    tls = towards(settings.tls, settings.valkey_ca_file)
    client = revocation_client(settings.valkey_url, settings.valkey_username, login, tls)
    try:
        await follow_valkey(parts.revocations.mirror, client)
    finally:
        await client.aclose()


def _followers(parts: Resources) -> Followers:
    settings = parts.settings
    login = parts.secrets.login_source(DATABASE_PASSWORD)
    return Followers(
        lambda: registered(parts.database),
        lambda: connect(settings.database_address, login),
        Source(parts.element_client, settings.feed_wait_s),
        parts.clock,
        parts.trail,
    )


def _audit_writer(parts: Resources) -> AuditLogWriter:
    settings = parts.settings
    login = parts.secrets.login_source(DATABASE_PASSWORD)
    store = log_store(settings, parts.secrets)
    return AuditLogWriter(
        lambda: connect(settings.database_address, login),
        lambda: made_log_store(settings, parts.secrets),
        LogIdentity(urlsplit(settings.issuer).hostname or settings.instance, parts.seal),
        Witnesses(
            parts.database,
            store,
            read_witnesses(settings.audit_witnesses_file),
            parts.clock,
            parts.trail,
        ),
        stamping=_stamping(parts, store),
        clock=parts.clock,
        trail=parts.trail,
    )


def _stamping(parts: Resources, store: LogStore) -> Stamping | None:
    settings = parts.settings
    if settings.audit_timestamp_url is None or settings.audit_timestamp_ca_file is None:
        return None
    return Stamping(
        parts.audit,
        store,
        settings.audit_timestamp_url,
        _authorities(settings.audit_timestamp_ca_file),
        interval=timedelta(seconds=settings.audit_timestamp_interval_s),
        clock=parts.clock,
    )


def _authorities(path: Path) -> tuple[Certificate, ...]:
    try:
        return read_authorities(path)
    except InvalidStamp as error:
        raise ConfigurationError(str(error)) from None


def _audit_backlog(parts: Resources) -> AuditBacklog:
    return AuditBacklog(parts.database, parts.trail, parts.settings.audit_backlog_max)


def _copy_jobs(parts: Resources) -> CopyJobs:
    return CopyJobs(
        parts.database,
        parts.element_client,
        parts.element_control,
        views=parts.element_views,
        trail=parts.trail,
        clock=parts.clock,
    )


def _scan_jobs(parts: Resources) -> ScanJobs:
    return ScanJobs(parts.database, Rescanning(parts.database, parts.element_control))


def _restore_jobs(parts: Resources) -> RestoreJobs:
    return RestoreJobs(
        Restoring(
            parts.database,
            parts.element_views,
            parts.element_control,
            parts.trail,
            parts.clock,
            lifetime_s=parts.settings.restore_lifetime_s,
        )
    )


def _job_worker(parts: Resources, copying: CopyJobs, scanning: ScanJobs) -> JobWorker:
    settings = parts.settings
    login = parts.secrets.login_source(DATABASE_PASSWORD)
    return JobWorker(
        parts.database,
        lambda: connect(settings.database_address, login),
        {**copying.handlers(), **_restore_jobs(parts).handlers(), RESCAN: scanning.rescan},
        name=settings.instance,
        lease_s=settings.job_lease_s,
    )
