"""The whole system, started once per test session in the background, as
`artstore up --detach` starts it.

`stack` (session): a `RunningStack`, in a throw-away state directory, on ports of its own.
`collector` (session): what it sends its spans and log lines to.
"""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from unittest.mock import patch

import pytest
from tests.support.collector import Collector, collecting
from tests.support.processes import short_folder, wait_until

from artstore.core.tls import TlsFiles
from artstore.local.home import Home
from artstore.local.layout import CLIENT_ID, Layout
from artstore.local.ports import free_ports
from artstore.local.secret_files import ADMIN_PASSWORD, CLI_SECRET
from artstore.local.stack import Stack
from artstore.local.status import Health, ProcessReport


@dataclass(frozen=True)
class RunningStack:
    stack: Stack

    @property
    def layout(self) -> Layout:
        return self.stack.layout

    @property
    def home(self) -> Path:
        return self.stack.home.root

    @property
    def edge_url(self) -> str:
        return self.layout.edge_url

    @property
    def ca_file(self) -> Path:
        return self.layout.certificates.authority_file

    @property
    def client_id(self) -> str:
        return CLIENT_ID

    @property
    def client_secret(self) -> str:
        return self.layout.secrets.read(CLI_SECRET)

    @property
    def admin_password(self) -> str:
        return self.layout.secrets.read(ADMIN_PASSWORD)

    @property
    def operator(self) -> TlsFiles:
        """A client certificate that may look into the modules."""
        return self.layout.certificates.files("operator")

    @property
    def superuser_url(self) -> str:
        """The database `artstore`, with every right."""
        return self.layout.postgres.url(self.layout.superuser)

    def url_of(self, name: str) -> str:
        """A module's own address, behind the edge."""
        return f"https://127.0.0.1:{self.process(name).port}"

    def processes(self) -> list[ProcessReport]:
        return self.stack.processes()

    def process(self, name: str) -> ProcessReport:
        return next(process for process in self.processes() if process.name == name)

    def wait_ready(self, name: str | None = None) -> None:
        """Until the named process, or all of them, can do their work."""
        wait_until(lambda: self._is_ready(name), f"{name or 'the stack'} becoming ready")

    def _is_ready(self, name: str | None) -> bool:
        asked = [each for each in self.processes() if name in (None, each.name)]
        return all(each.health is Health.READY for each in asked)


@pytest.fixture(scope="session")
def collector(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Collector]:
    """Where the stack sends every span and log line."""
    with collecting(tmp_path_factory.mktemp("collector")) as collector:
        yield collector


@pytest.fixture(scope="session")
def stack(collector: Collector) -> Iterator[RunningStack]:
    settings = {
        "ARTSTORE_OTLP_ENDPOINT": collector.endpoint,
        "ARTSTORE_OTLP_LOGS": "true",
        # One address of this machine and not all, so that there is one to be refused.
        "ARTSTORE_MONITORING_ALLOW": "127.0.0.1",
    }
    with short_folder() as folder, patch.dict(os.environ, settings):
        stack = Stack(Home.at(folder / "home"), free_ports())
        stack.start()
        try:
            yield RunningStack(stack)
        finally:
            stack.stop()
