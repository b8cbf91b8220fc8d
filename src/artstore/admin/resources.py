"""What lives as long as the process: opened here, closed in reverse."""

import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Final

from artstore.admin.repository.counters import MemoryCounters, ValkeyCounters
from artstore.admin.repository.valkey import Valkey
from artstore.admin.services.audit.places import log_store
from artstore.admin.services.audit.reading import AuditLog
from artstore.admin.services.audit.receipt_keys import ReceiptKeys
from artstore.admin.services.audit.trail import Trail
from artstore.admin.services.audit.witnesses import read_witnesses
from artstore.admin.services.catalogue.element_client import ElementClient
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
from artstore.admin.settings import AdminSettings
from artstore.core.clock import Clock
from artstore.core.database import Database
from artstore.core.http import Transport
from artstore.core.recording.receipts import ReceiptIssuer
from artstore.core.remote import towards
from artstore.core.revocation import RevocationMirror
from artstore.core.secrets.chain import Secrets
from artstore.core.settings import ConfigurationError
from artstore.core.tokens import TokenVerifier

DATABASE_PASSWORD: Final = "database_password"  # noqa: S105  the name of a secret
VALKEY_PASSWORD: Final = "valkey_password"  # noqa: S105


@dataclass(frozen=True)
class Resources:
    """Everything that lives as long as the process."""

    settings: AdminSettings
    secrets: Secrets
    clock: Clock
    database: Database
    valkey: Valkey
    hasher: SecretHasher
    seal: Seal
    keys: KeyRing
    rotation: KeyRotation
    revocations: Revocations
    verifier: TokenVerifier
    token_states: TokenStates
    sign_in: SignIn
    people: PeopleSignIn
    sessions: Sessions
    factors: SecondFactors
    outside: OutsideSignIn | None
    """`None`: no outside identity provider is set up."""
    element_client: ElementClient
    element_control: ElementControl
    element_views: Views
    trail: Trail
    audit: AuditLog
    receipt_keys: ReceiptKeys
    receipts: ReceiptIssuer
    """For whoever has lost the one that the ingester gave."""


@contextlib.asynccontextmanager
async def open_resources(
    settings: AdminSettings, secrets: Secrets, clock: Clock
) -> AsyncIterator[Resources]:
    """
    Raises:
        ConfigurationError: A secret file is missing or unfit.
    """
    seal = Seal(lambda: secrets.read("key_encryption_key"))
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
        provider = _open_provider(settings, secrets, clock)
        if provider is not None:
            stack.push_async_callback(provider.close)
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
            outside=OutsideSignIn(provider, tools, people, seal) if provider else None,
            sessions=sessions,
            factors=factors,
            element_client=(client := ElementClient(transport)),
            element_views=Views(database, client, clock),
            element_control=ElementControl(transport),
            trail=trail,
            audit=_audit_log(settings, secrets, database),
            receipt_keys=receipt_keys,
            receipts=ReceiptIssuer(
                lambda public_x: receipt_keys.register(public_x, f"admin/{settings.instance}"),
                settings.issuer,
                clock,
            ),
        )


def _open_provider(settings: AdminSettings, secrets: Secrets, clock: Clock) -> Provider | None:
    terms = terms_of(settings, secrets)
    return None if terms is None else Provider(terms, clock)


def _audit_log(settings: AdminSettings, secrets: Secrets, database: Database) -> AuditLog:
    witnesses = read_witnesses(settings.audit_witnesses_file)
    if settings.audit_witness_quorum > len({witness.name for witness in witnesses}):
        raise ConfigurationError("the quorum of the audit is larger than its list of witnesses")
    return AuditLog(
        database,
        log_store(settings, secrets),
        [key for witness in witnesses for key in witness.keys],
        settings.audit_witness_quorum,
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
