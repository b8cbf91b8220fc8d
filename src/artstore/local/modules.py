"""The module processes of the embedded stack: who they are and what they are told."""

import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from artstore.core.tls import PeerIdentity, TlsFiles
from artstore.local.ports import LISTEN_ADDRESS, Ports

ELEMENTS: Final = {"edit-1": "edit", "rw-1": "rw"}
"""Storage elements and the mode each begins with."""

_FROM_CALLER: Final = ("LANG", "LC_ALL", "PATH", "PYTHONPATH", "TMPDIR", "TZ")
_TUNABLES: Final = (
    "ACCESS_TOKEN_LIFETIME_S",
    "CORS_ORIGINS",
    "ANTIVIRUS_ADDRESS",
    "ANTIVIRUS_BYTES_MAX",
    "ANTIVIRUS_SIGNATURES",
    "AUDIT_BUCKET",
    "AUDIT_S3_CREDENTIALS_FILE",
    "AUDIT_S3_ENDPOINT",
    "AUDIT_S3_REGION",
    "AUDIT_TIMESTAMP_CA_FILE",
    "AUDIT_TIMESTAMP_INTERVAL_S",
    "AUDIT_TIMESTAMP_URL",
    "AUDIT_WITNESSES_FILE",
    "AUDIT_WITNESS_QUORUM",
    "AUDIT_WORM_BUCKET",
    "DATABASE_POOL_SIZE",
    "INLINE_BYTES_MAX",
    "LOG_LEVEL",
    "OIDC_CA_FILE",
    "OIDC_CLIENT_ID",
    "OIDC_CLIENT_SECRET_FILE",
    "OIDC_GROUPS_CLAIM",
    "OIDC_ISSUER",
    "OIDC_NAME",
    "OIDC_ROLES",
    "OIDC_SCOPE",
    "OIDC_SECOND_FACTOR_VALUES",
    "MONITORING_ALLOW",
    "OTLP_ENDPOINT",
    "OTLP_LOGS",
    "RESERVED_BYTES",
    "SECOND_FACTOR_ROLES",
    "SHUTDOWN_GRACE_S",
    "TRACE_SAMPLE_RATIO",
    "UPLOAD_BYTES_MAX",
)
"""Settings that an operator may give to `artstore up`; everything else the stack decides."""


@dataclass(frozen=True)
class Module:
    """One instance of a module."""

    module: str
    instance: str
    port: int

    @property
    def identity(self) -> PeerIdentity:
        return PeerIdentity(self.module, self.instance)

    @property
    def url(self) -> str:
        return f"https://{LISTEN_ADDRESS}:{self.port}"

    def command(self, *arguments: str) -> list[str]:
        return [sys.executable, "-m", f"artstore.{self.module}", *arguments]


def modules(ports: Ports) -> dict[str, Module]:
    """By instance name, in the order in which people see them."""
    found = (
        Module("admin", "admin-1", ports.admin),
        Module("storage", "edit-1", ports.edit),
        Module("storage", "rw-1", ports.rw),
        Module("ingester", "ingester-1", ports.ingester),
        Module("query", "query-1", ports.query),
    )
    return {module.instance: module for module in found}


def base_environment() -> dict[str, str]:
    """What every child gets of our own environment. Nothing else: it may hold secrets."""
    names = [*_FROM_CALLER, *(f"ARTSTORE_{name}" for name in _TUNABLES)]
    chosen = {name: os.environ[name] for name in names if name in os.environ}
    if "PYTHONPATH" in chosen:
        # Children work in another folder, where a relative path would mean something else.
        folders = chosen["PYTHONPATH"].split(os.pathsep)
        chosen["PYTHONPATH"] = os.pathsep.join(str(Path(folder).absolute()) for folder in folders)
    return chosen


def module_environment(
    module: Module, tls: TlsFiles, settings: Mapping[str, object]
) -> dict[str, str]:
    """The environment of a module: `settings` by name without the prefix."""
    common: dict[str, object] = {
        "profile": "production",
        "instance": module.instance,
        "host": LISTEN_ADDRESS,
        "port": module.port,
        "tls_certificate_file": tls.certificate,
        "tls_key_file": tls.key,
        "tls_ca_file": tls.ca,
        "tls_crl_file": tls.crl,
    }
    own = {f"ARTSTORE_{name.upper()}": str(value) for name, value in {**common, **settings}.items()}
    return {**base_environment(), **own}
