"""What `artstore rotate` replaces on this machine."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta
from typing import Final

from artstore.client.settings import load_profile
from artstore.client.store import ArtStore
from artstore.core.clock import Clock
from artstore.core.secrets.chain import Login
from artstore.local import postgres, valkey
from artstore.local.layout import CLIENT_ID, EDGE, Layout
from artstore.local.secret_files import (
    CLI_SECRET,
    DATABASE_ADMIN,
    DATABASE_QUERY,
    DATABASE_SUPERUSER,
    KEY_ENCRYPTION_KEY,
    VALKEY,
    VALKEY_KEEPER,
    VALKEY_READER,
)
from artstore.local.service_certificates import ServiceCertificates
from artstore.rotation.accounts import AccountSecret
from artstore.rotation.installation import Installation
from artstore.rotation.key_encryption import KeyEncryptionKey
from artstore.rotation.postgresql import PostgresLogin
from artstore.rotation.procedure import Credential
from artstore.rotation.store import FolderStore
from artstore.rotation.valkey import ValkeyUser

DRAIN_MAX: Final = timedelta(seconds=60)


def local_installation(layout: Layout, clock: Clock, *, leaked: bool = False) -> Installation:
    """`leaked`: the secrets replaced are known to others."""
    return Installation(
        credentials=[*_credentials(layout, leaked=leaked), _certificates(layout, clock)],
        state=layout.home.root / "rotation",
        connect=lambda: _connect(layout, None),
        drain_max=DRAIN_MAX,
    )


def _credentials(layout: Layout, *, leaked: bool) -> list[Credential]:
    """Those that change others come last: what they change is fresh then."""
    return [
        AccountSecret(
            CLI_SECRET,
            CLIENT_ID,
            lambda secret: _connect(layout, secret),
            FolderStore(layout.home.secrets),
            leaked,
        ),
        KeyEncryptionKey(
            KEY_ENCRYPTION_KEY,
            lambda: _connect(layout, None),
            FolderStore(layout.home.secrets),
            leaked,
        ),
        *_valkey_users(layout),
        *_postgres_logins(layout),
    ]


def _valkey_users(layout: Layout) -> list[Credential]:
    users = {VALKEY: valkey.USERNAME, VALKEY_READER: valkey.READER, VALKEY_KEEPER: valkey.KEEPER}
    return [
        ValkeyUser(
            name,
            username,
            layout.valkey.url,
            lambda: Login(valkey.KEEPER, layout.secrets.read(VALKEY_KEEPER)),
            FolderStore(layout.home.secrets),
        )
        for name, username in users.items()
    ]


def _postgres_logins(layout: Layout) -> list[Credential]:
    def keeper() -> Login:
        return Login(layout.superuser.role, layout.superuser.password)

    logins: tuple[tuple[str, str, Mapping[str, str]], ...] = (
        (DATABASE_QUERY, postgres.QUERY_ROLE, postgres.READ_ONLY),
        (DATABASE_ADMIN, postgres.OWNER_ROLE, {}),
        (DATABASE_SUPERUSER, postgres.SUPERUSER, {}),
    )
    return [
        PostgresLogin(
            name,
            (role, f"{role}_2"),
            f"postgresql:///{postgres.DATABASE}?host={layout.postgres.sockets}",
            keeper,
            FolderStore(layout.home.secrets),
            settings,
        )
        for name, role, settings in logins
    ]


def _certificates(layout: Layout, clock: Clock) -> Credential:
    ports = {module.instance: module.port for module in layout.modules.values()}
    ports[EDGE.instance] = layout.ports.edge
    return ServiceCertificates(layout.identities, ports, layout.certificates, clock)


def _connect(layout: Layout, secret: str | None) -> ArtStore:
    profile = load_profile(layout.home.root)
    return ArtStore.from_profile(replace(profile, client_secret=secret) if secret else profile)
