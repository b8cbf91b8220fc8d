"""Composition root: everything is built here and handed down."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Coroutine, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from cryptography.x509 import Certificate
from fastapi import FastAPI

from artstore.admin.dependencies import Resources
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
from artstore.admin.model import StorageElement
from artstore.admin.repository import elements
from artstore.admin.repository.counters import MemoryCounters, ValkeyCounters
from artstore.admin.repository.positions import connect
from artstore.admin.repository.valkey import Valkey
from artstore.admin.routes import (
    admission,
    audit,
    catalogue,
    collections,
    credentials,
    files,
    grants,
    jobs,
    jwt_keys,
    key_encryption,
    monitoring,
    oidc,
    people_sign_in,
    receipts,
    reports,
    second_factors,
    service_accounts,
    storage_elements,
    tokens,
    users,
    well_known,
)
from artstore.admin.routes import (
    revocations as revocation_orders,
)
from artstore.admin.schema import check_schema
from artstore.admin.services.audit.intake import ReportIntake
from artstore.admin.services.audit.places import log_store, made_log_store
from artstore.admin.services.audit.reading import AuditLog
from artstore.admin.services.audit.receipt_keys import ReceiptKeys
from artstore.admin.services.audit.sequencer import LogIdentity
from artstore.admin.services.audit.stamping import Stamping
from artstore.admin.services.audit.trail import Trail
from artstore.admin.services.audit.witnesses import Witnesses, read_witnesses
from artstore.admin.services.catalogue.element_client import ElementClient
from artstore.admin.services.catalogue.following import Source
from artstore.admin.services.copies.views import Views
from artstore.admin.services.elements_control import ElementControl
from artstore.admin.services.identity.hashing import SecretHasher
from artstore.admin.services.identity.key_rotation import KeyRotation
from artstore.admin.services.identity.known_accounts import KnownAccounts
from artstore.admin.services.identity.outside.provider import Provider
from artstore.admin.services.identity.outside.sign_in import OutsideSignIn
from artstore.admin.services.identity.outside.terms import terms_of
from artstore.admin.services.identity.people_sign_in import PeopleSignIn, Tools
from artstore.admin.services.identity.proving import Proving
from artstore.admin.services.identity.revocation import Revocations
from artstore.admin.services.identity.sealing import Seal
from artstore.admin.services.identity.second_factors import SecondFactors
from artstore.admin.services.identity.sessions import Sessions
from artstore.admin.services.identity.sign_in import SignIn
from artstore.admin.services.identity.signing_keys import KeyRing
from artstore.admin.services.identity.throttle import Throttle
from artstore.admin.services.identity.token_states import TokenStates
from artstore.admin.services.identity.tokens import TokenIssuer
from artstore.admin.services.rescanning import RESCAN, Rescanning
from artstore.admin.services.restoring.doing import Restoring
from artstore.admin.settings import AdminSettings
from artstore.core.audit.stamps import InvalidStamp, read_authorities
from artstore.core.clock import Clock, SystemClock
from artstore.core.database import Database
from artstore.core.http import Transport
from artstore.core.recording.receipts import ReceiptIssuer
from artstore.core.recording.reports import Deliver
from artstore.core.remote import towards
from artstore.core.revocation import RevocationMirror
from artstore.core.revocation_sources import follow_valkey, revocation_client
from artstore.core.secrets.chain import Secrets
from artstore.core.settings import ConfigurationError
from artstore.core.tlog.store import LogStore
from artstore.core.tokens import TokenVerifier
from artstore.core.web.application import create_application
from artstore.core.web.reporting import reporting

ROUTERS = (
    well_known.router,
    tokens.router,
    people_sign_in.router,
    oidc.router,
    second_factors.router,
    users.router,
    service_accounts.router,
    grants.router,
    jwt_keys.router,
    key_encryption.router,
    credentials.router,
    revocation_orders.router,
    storage_elements.router,
    collections.router,
    admission.router,
    jobs.router,
    monitoring.router,
    files.router,
    catalogue.router,
    audit.router,
    receipts.router,
    reports.router,
)


DATABASE_PASSWORD = "database_password"  # noqa: S105  the name of a secret
VALKEY_PASSWORD = "valkey_password"  # noqa: S105


def create_app(settings: AdminSettings, secrets: Secrets) -> FastAPI:
    """The application. It opens connections when it starts, not here."""

    @contextlib.asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async with open_resources(settings, secrets, SystemClock()) as parts:
            await _check_database(parts)
            await parts.rotation.prepare()
            await parts.revocations.spread()
            audit_writer = _audit_writer(parts)
            scanning = _scan_jobs(parts)
            app.state.resources = parts
            app.state.tokens = parts.verifier
            async with (
                reporting(app, settings, _into_the_outbox(parts), parts.trail),
                _running(parts.database.renew_idle()),
                _running(show_credential_ages(parts.database)),
                _running(parts.valkey.watch()),
                _running(parts.revocations.run()),
                _running(_revocations_in_valkey(parts)),
                _running(rotate_keys(parts.rotation)),
                _running(_followers(parts).run()),
                _running(audit_writer.run()),
                _running(parts.receipts.run()),
                _running(_audit_backlog(parts).run()),
                _running(_job_worker(parts, copying := _copy_jobs(parts), scanning).run()),
                _running(scanning.begin()),
                _running(copying.watch()),
                _running(count_usage(parts.database)),
            ):
                yield

    async def database() -> None:
        await _check_database(app.state.resources)

    async def valkey() -> None:
        await app.state.resources.valkey.check()

    app = create_application(
        settings,
        service="admin",
        routers=(*ROUTERS, *tokens.hot_routes),
        hot_routes=tokens.hot_routes,
        lifespan=lifespan,
        checks={"database": database, "valkey": valkey},
    )
    return app


@contextlib.asynccontextmanager
async def open_resources(
    settings: AdminSettings, secrets: Secrets, clock: Clock
) -> AsyncIterator[Resources]:
    """
    Raises:
        ConfigurationError: A secret file is missing or unfit.
    """
    seal = Seal(lambda: secrets.read("key_encryption_key"))
    witnesses = read_witnesses(settings.audit_witnesses_file)
    if settings.audit_witness_quorum > len({witness.name for witness in witnesses}):
        raise ConfigurationError("the quorum of the audit is larger than its list of witnesses")
    async with contextlib.AsyncExitStack() as stack:
        database = open_database(settings, secrets)
        stack.push_async_callback(database.close)
        valkey = _open_valkey(settings, secrets, clock)
        stack.push_async_callback(valkey.close)
        transport = Transport(settings.tls)
        stack.push_async_callback(transport.close)
        hasher = SecretHasher()
        stack.callback(hasher.close)
        trail = Trail(clock, settings.instance)
        receipt_keys = ReceiptKeys(database, trail, clock)
        mirror = RevocationMirror(clock, settings.revocation_age_max_s)
        revocations = Revocations(database, valkey, mirror, clock)
        keys = KeyRing(database, seal, clock, mirror.revokes_key)
        verifier = TokenVerifier(keys.jwks, settings.issuer, clock, mirror)
        issuer = TokenIssuer(keys, settings.issuer, settings.access_token_lifetime_s, clock)
        throttle = Throttle(valkey, ValkeyCounters(valkey.client), MemoryCounters(clock), clock)
        proving = Proving(throttle, hasher)
        sessions = Sessions(database, seal, revocations, clock=clock, trail=trail)
        factors = SecondFactors(seal, settings.issuer, clock)
        tools = Tools(
            database=database,
            hasher=hasher,
            proving=proving,
            issuer=issuer,
            sessions=sessions,
            factors=factors,
            revocations=revocations,
            clock=clock,
            trail=trail,
        )
        people = PeopleSignIn(tools, settings.second_factor_roles)
        outside = None
        if (terms := terms_of(settings, secrets)) is not None:
            provider = Provider(terms, clock)
            stack.push_async_callback(provider.close)
            outside = OutsideSignIn(provider, tools, people, seal)
        yield Resources(
            settings=settings,
            secrets=secrets,
            clock=clock,
            database=database,
            valkey=valkey,
            hasher=hasher,
            seal=seal,
            keys=keys,
            rotation=KeyRotation(
                database, seal, keys, revocations=revocations, clock=clock, trail=trail
            ),
            revocations=revocations,
            verifier=verifier,
            token_states=TokenStates(database, verifier, revocations, trail, settings.issuer),
            sign_in=SignIn(
                database,
                proving,
                issuer,
                clock,
                trail=trail,
                known=KnownAccounts(mirror, clock),
            ),
            people=people,
            outside=outside,
            sessions=sessions,
            factors=factors,
            element_client=(client := ElementClient(transport)),
            element_views=Views(database, client, clock),
            element_control=ElementControl(transport),
            trail=trail,
            audit=AuditLog(
                database,
                log_store(settings, secrets),
                [key for witness in witnesses for key in witness.keys],
                settings.audit_witness_quorum,
            ),
            receipt_keys=receipt_keys,
            receipts=ReceiptIssuer(
                lambda public_x: receipt_keys.register(public_x, f"admin/{settings.instance}"),
                settings.issuer,
                clock,
            ),
        )


def open_database(settings: AdminSettings, secrets: Secrets) -> Database:
    return Database(
        settings.database_address,
        secrets.login_source(DATABASE_PASSWORD),
        application_name=settings.instance,
        pool_size=settings.database_pool_size,
    )


def _open_valkey(settings: AdminSettings, secrets: Secrets, clock: Clock) -> Valkey:
    login = secrets.login_source(VALKEY_PASSWORD)
    tls = towards(settings.tls, settings.valkey_ca_file)
    return Valkey(settings.valkey_url, settings.valkey_username, login, tls, clock)


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

    async def read_registry() -> list[StorageElement]:
        async with parts.database.session() as session:
            return await elements.every(session)

    return Followers(
        read_registry,
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


def _into_the_outbox(parts: Resources) -> Deliver:
    """This module's own refusals; what changes something is written with the change."""
    intake = ReportIntake(parts.database, parts.trail)

    async def deliver(lines: Sequence[bytes]) -> None:
        await intake.take(lines, reporter=None)

    return deliver


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


async def _check_database(parts: Resources) -> None:
    async with parts.database.session() as session:
        await check_schema(session)


@contextlib.asynccontextmanager
async def _running(work: Coroutine[Any, Any, None]) -> AsyncIterator[None]:
    """`work` in the background, cancelled at the end of the block."""
    task = asyncio.create_task(work)
    try:
        yield
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
