"""What lies where in the embedded stack, and what its servers are told.

The one place that knows all of its parts.
"""

import json
import os
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from pathlib import Path
from typing import Final

from artstore.core.private_files import private_folder, write_private
from artstore.core.tls import PeerIdentity
from artstore.local import clamd, programs
from artstore.local.account import choose_account
from artstore.local.certificate_store import CertificateStore
from artstore.local.clamd import Clamd
from artstore.local.edge import (
    MONITORING_VARIABLE,
    ORIGINS_VARIABLE,
    Edge,
    parse_networks,
    parse_origins,
    tracing_environment,
)
from artstore.local.home import Home
from artstore.local.modules import ELEMENTS, Module, modules
from artstore.local.ports import LISTEN_ADDRESS, Ports
from artstore.local.postgres import OWNER_ROLE, QUERY_ROLE, SUPERUSER, Login, Postgres
from artstore.local.secret_files import (
    ADMIN_PASSWORD,
    CLI_SECRET,
    DATABASE_ADMIN,
    DATABASE_QUERY,
    DATABASE_SUPERUSER,
    VALKEY,
    VALKEY_KEEPER,
    VALKEY_READER,
    SecretFiles,
)
from artstore.local.valkey import Valkey
from artstore.local.witness import LocalWitness
from artstore.rotation.postgresql import login_in

ADMIN_NAME: Final = "admin"
CLIENT_ID: Final = "cli"
OTHER_WITNESSES: Final = "ARTSTORE_AUDIT_WITNESSES_FILE"
"""Who sets it names witnesses of their own; the stack then starts none."""
EDGE: Final = PeerIdentity("edge", "edge-1")
PEOPLE: Final = (PeerIdentity("operator", "operator"), PeerIdentity("monitoring", "monitoring"))
"""Client certificates for those who may look into the modules from outside."""


@dataclass(frozen=True)
class Layout:
    home: Home
    ports: Ports

    @property
    def edge_url(self) -> str:
        return f"https://{LISTEN_ADDRESS}:{self.ports.edge}"

    @cached_property
    def modules(self) -> dict[str, Module]:
        return modules(self.ports)

    @cached_property
    def certificates(self) -> CertificateStore:
        return CertificateStore(self.home.pki)

    @cached_property
    def secrets(self) -> SecretFiles:
        return SecretFiles(self.home.secrets)

    @cached_property
    def identities(self) -> list[PeerIdentity]:
        """All that hold a certificate of ours."""
        return [*(module.identity for module in self.modules.values()), EDGE, *PEOPLE]

    @cached_property
    def postgres(self) -> Postgres:
        """
        Raises:
            NoAccount: Nobody can run PostgreSQL here.
        """
        binaries = programs.postgres_folder()
        account = choose_account(binaries / "postgres", self.home.root)
        sockets = self.home.sockets()
        if account.owner is not None:
            account.open_way_to([self.home.root, self.home.data, self.home.run, sockets])
            sockets = private_folder(sockets / "pg")
            account.own(sockets)
        return Postgres(binaries, self.home.data / "postgres", sockets, account)

    @cached_property
    def valkey(self) -> Valkey:
        return Valkey(
            programs.valkey_server(),
            self.home.data / "valkey",
            self.home.config / "valkey.conf",
            self.home.sockets(),
        )

    @cached_property
    def clamd(self) -> Clamd | None:
        """`None`: there is none to start, see `clamd.missing`."""
        program = clamd.clamd_program()
        if program is None or clamd.missing() is not None:
            return None
        return Clamd(
            program,
            clamd.signatures_folder(),
            self.home.config / "clamd.conf",
            self.home.sockets(),
        )

    @cached_property
    def edge(self) -> Edge:
        return Edge(
            programs.caddy(),
            self.home.config / "Caddyfile",
            self.home.data / "edge",
            self.ports,
            self.certificates.files(EDGE.instance),
            self.certificates.modules_file,
            parse_origins(os.environ.get(ORIGINS_VARIABLE, "")),
            parse_networks(os.environ.get(MONITORING_VARIABLE, "")),
            tracing_environment(
                os.environ.get("ARTSTORE_OTLP_ENDPOINT"),
                os.environ.get("ARTSTORE_TRACE_SAMPLE_RATIO"),
            ),
        )

    @cached_property
    def witness(self) -> LocalWitness | None:
        if OTHER_WITNESSES in os.environ:
            return None
        return LocalWitness(self.home.data / "witness", self.ports.witness)

    @property
    def witnesses_file(self) -> Path:
        return self.home.config / "witnesses"

    @property
    def superuser(self) -> Login:
        return self._login(SUPERUSER, DATABASE_SUPERUSER)

    @property
    def database_owner(self) -> Login:
        return self._login(OWNER_ROLE, DATABASE_ADMIN)

    @property
    def database_reader(self) -> Login:
        return self._login(QUERY_ROLE, DATABASE_QUERY)

    def _login(self, first_role: str, secret: str) -> Login:
        found = login_in(self.secrets.read(secret), first_role)
        return Login(found.username or first_role, found.password)

    def write(self, now: datetime) -> None:
        """Everything the programs read when they start. May be repeated: keys, secrets and
        data stay, certificates are renewed when due, configuration is written anew."""
        self.home.create()
        self.secrets.create()
        self.certificates.renew_due(now, self.identities)
        self.ports.remember(self.home.ports_file)
        passwords = (self.secrets.read(name) for name in (VALKEY, VALKEY_READER, VALKEY_KEEPER))
        self.valkey.configure(*passwords)
        self.edge.configure()
        if self.clamd is not None:
            self.clamd.configure()
        if self.witness is not None:
            self.witness.make()
            write_private(self.witnesses_file, self.witness.address_line)
        write_private(self.home.config / "plan.json", _json(self._plan()))
        write_private(self.home.profile_file, _json(self._profile()))

    def _plan(self) -> dict[str, object]:
        return {
            "admin": {
                "username": ADMIN_NAME,
                "password_file": str(self.secrets.file(ADMIN_PASSWORD)),
            },
            "service_accounts": [
                {
                    "client_id": CLIENT_ID,
                    "role": "admin",
                    "secret_file": str(self.secrets.file(CLI_SECRET)),
                }
            ],
            "storage_elements": [
                {"element_id": name, "url": self.modules[name].url, "priority": 100}
                for name in ELEMENTS
            ],
        }

    def _profile(self) -> dict[str, object]:
        """What the CLI and the SDK look for; paths count from its own folder."""
        root = self.home.root
        return {
            "edge": self.edge_url,
            "ca_file": str(self.certificates.authority_file.relative_to(root)),
            "client_id": CLIENT_ID,
            "client_secret_file": str(self.secrets.file(CLI_SECRET).relative_to(root)),
        }


def _json(content: object) -> str:
    return json.dumps(content, indent=2) + "\n"
