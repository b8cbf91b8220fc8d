"""A real admin module with its own database: `installation()` prepares one, `serve()` runs it."""

import base64
import contextlib
import json
import os
import secrets
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import httpx2
from tests.support.module_process import ModuleProcess, module_process
from tests.support.pki import Pki
from tests.support.postgres import TestDatabase
from tests.support.valkey import TestValkey

from artstore.core.private_files import write_private
from artstore.core.tls import client_context

ISSUER = "https://127.0.0.1:8443"


@dataclass
class Installation:
    """What `artstore up` would have written for the admin module."""

    folder: Path
    database: TestDatabase
    valkey: TestValkey
    pki: Pki
    admin_password: str = field(default_factory=lambda: secrets.token_urlsafe(24))
    cli_secret: str = field(default_factory=lambda: secrets.token_urlsafe(32))
    reader_secret: str = field(default_factory=lambda: secrets.token_urlsafe(32))

    def write(self, elements: Sequence[dict[str, object]] = ()) -> Path:
        key = base64.urlsafe_b64encode(secrets.token_bytes(32)).decode()
        write_private(self.folder / "key-encryption-key", key)
        write_private(self.folder / "admin-password", self.admin_password)
        write_private(self.folder / "cli-secret", self.cli_secret)
        write_private(self.folder / "reader-secret", self.reader_secret)
        plan = {
            "admin": {"username": "admin", "password_file": "admin-password"},
            "service_accounts": [
                {"client_id": "cli", "role": "admin", "secret_file": "cli-secret"},
                {"client_id": "reader", "role": "readonly", "secret_file": "reader-secret"},
            ],
            "storage_elements": list(elements),
        }
        self.plan_file.write_text(json.dumps(plan))
        return self.plan_file

    @property
    def plan_file(self) -> Path:
        return self.folder / "plan.json"

    @property
    def settings(self) -> dict[str, object]:
        """Variables without `ARTSTORE_`."""
        return {
            "DATABASE_URL": self.database.admin_url,
            "DATABASE_PASSWORD_FILE": self.database.admin_password_file,
            "VALKEY_URL": self.valkey.bare_url,
            "VALKEY_USERNAME": self.valkey.username,
            "VALKEY_PASSWORD_FILE": self.valkey.password_file,
            "ISSUER": ISSUER,
            "KEY_ENCRYPTION_KEY_FILE": self.folder / "key-encryption-key",
            "AUDIT_FOLDER": self.folder / "audit",
        }

    def prepare(self) -> subprocess.CompletedProcess[str]:
        """Run `python -m artstore.admin prepare`."""
        tls = self.pki.files("admin")
        variables = {
            "INSTANCE": "admin-1",
            "PORT": 0,
            "TLS_CERTIFICATE_FILE": tls.certificate,
            "TLS_KEY_FILE": tls.key,
            "TLS_CA_FILE": tls.ca,
            **self.settings,
        }
        environment = {f"ARTSTORE_{name}": str(value) for name, value in variables.items()}
        command: list[str | Path] = [
            sys.executable,
            "-m",
            "artstore.admin",
            "prepare",
            "--plan",
            self.plan_file,
        ]
        return subprocess.run(
            command, env=os.environ | environment, capture_output=True, text=True, check=False
        )

    @contextlib.contextmanager
    def serve(
        self, instance: str = "admin-1", program: str | None = None, **settings: object
    ) -> Iterator["Admin"]:
        variables = {**self.settings, **settings}
        with module_process("admin", self.pki, variables, instance, program) as process:
            yield Admin(process, self)


@dataclass(frozen=True)
class Admin:
    process: ModuleProcess
    installation: Installation

    @contextlib.contextmanager
    def client(self, module: str = "edge", **headers: str) -> Iterator[httpx2.Client]:
        """HTTP with the client certificate of a service of `module`.

        As the edge, it speaks for an address nobody used before: the failures that one test
        provokes slow no other down.
        """
        if module == "edge":
            headers = {"X-Forwarded-For": str(ip_address(secrets.randbits(32)))} | headers
        context = client_context(self.installation.pki.files(module))
        with httpx2.Client(
            base_url=self.process.url, verify=context, headers=headers, timeout=30
        ) as client:
            yield client

    def token(self, client_id: str = "cli", secret: str | None = None) -> str:
        with self.client() as client:
            answer = client.post(
                "/api/v1/auth/token",
                data={
                    "grant_type": "client_credentials",
                    "client_id": client_id,
                    "client_secret": secret or self.installation.cli_secret,
                },
            )
        answer.raise_for_status()
        token: str = answer.json()["access_token"]
        return token

    @contextlib.contextmanager
    def as_account(self, client_id: str = "cli", secret: str | None = None) -> Iterator[Any]:
        token = self.token(client_id, secret)
        with self.client(Authorization=f"Bearer {token}") as client:
            yield client


MakeDatabase = Callable[[str], TestDatabase]
