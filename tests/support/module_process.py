"""A module as a real process: `python -m artstore.<module>` with mutual TLS on a free port."""

import contextlib
import json
import socket
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
from tests.support.pki import Pki
from tests.support.processes import running, short_folder


@dataclass(frozen=True)
class ModuleProcess:
    port: int
    pid: int
    log: Path

    @property
    def url(self) -> str:
        return f"https://127.0.0.1:{self.port}"

    @property
    def rss_bytes(self) -> int:
        rss: int = psutil.Process(self.pid).memory_info().rss
        return rss

    def events(self) -> list[dict[str, Any]]:
        """The lines of its log so far."""
        return [json.loads(line) for line in self.log.read_text().splitlines()]


@contextlib.contextmanager
def module_process(
    module: str,
    pki: Pki,
    settings: Mapping[str, object],
    instance: str | None = None,
    program: str | None = None,
) -> Iterator[ModuleProcess]:
    """It listens when this returns.

    Args:
        settings: Further variables, without `ARTSTORE_`.
        program: What Python runs instead of the module itself.
    """
    instance = instance or f"{module}-1"
    tls = pki.files(module, instance)
    port = free_port()
    variables = {
        "INSTANCE": instance,
        "PORT": port,
        "TLS_CERTIFICATE_FILE": tls.certificate,
        "TLS_KEY_FILE": tls.key,
        "TLS_CA_FILE": tls.ca,
        "TLS_CRL_FILE": tls.crl,
        **settings,
    }
    environment = [f"ARTSTORE_{name}={value}" for name, value in variables.items()]
    command = ["env", *environment, sys.executable, "-m", program or f"artstore.{module}"]
    with (
        short_folder() as folder,
        running(
            ["env", f"ARTSTORE_AUDIT_SPOOL_FOLDER={folder / 'spool'}", *command],
            lambda _: listens(port),
            folder / "log",
        ) as process,
    ):
        yield ModuleProcess(port, process.pid, folder / "log")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def listens(port: int) -> bool:
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
        return True
    return False
