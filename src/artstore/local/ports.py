"""Which ports the stack listens on, and who holds one that is taken."""

import errno
import json
import random
import socket
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Final, Self

import psutil

from artstore.core.private_files import write_private
from artstore.local.failures import StackFailure

LISTEN_ADDRESS: Final = "127.0.0.1"
BASE: Final = 8000
BASE_MAX: Final = 65535 - 443
_FREE_BASES: Final = range(10000, 30000, 100)
"""Below the ports that Linux gives to outgoing connections (32768 on). Many, so that two who
look at the same time hardly ever choose the same."""


class PortTaken(StackFailure):
    """The message names each taken port, who holds it if that can be told, and a way out."""


@dataclass(frozen=True)
class Ports:
    """One port for each process that listens."""

    admin: int
    edit: int
    rw: int
    ingester: int
    query: int
    witness: int
    edge: int

    @classmethod
    def from_base(cls, base: int = BASE, edge: int | None = None) -> Self:
        """8000, 8010, 8011, 8020, 8030, 8090 and 8443, all shifted by `base - 8000`."""
        return cls(
            admin=base,
            edit=base + 10,
            rw=base + 11,
            ingester=base + 20,
            query=base + 30,
            witness=base + 90,
            edge=base + 443 if edge is None else edge,
        )

    @classmethod
    def remembered(cls, file: Path) -> Self | None:
        """What `remember` wrote, `None` before the first start."""
        try:
            known: dict[str, int] = json.loads(file.read_text("utf-8"))
        except FileNotFoundError:
            return None
        # Those that an earlier version did not have lie where they would have been.
        return cls(**{**asdict(cls.from_base(known["admin"])), **known})

    def remember(self, file: Path) -> None:
        write_private(file, json.dumps(asdict(self), indent=2) + "\n")

    def choose(self, base: int | None, edge: int | None) -> "Ports":
        """These, or what the caller asks for instead."""
        if base is not None:
            return Ports.from_base(base, edge)
        return self if edge is None else replace(self, edge=edge)

    def each(self) -> Iterator[tuple[str, int]]:
        yield from asdict(self).items()


@dataclass(frozen=True)
class MonitorPorts:
    """Where monitoring listens: its usual ports, shifted as those of the stack."""

    prometheus: int
    alertmanager: int
    node: int
    grafana: int

    @classmethod
    def beside(cls, ports: Ports) -> Self:
        base = ports.admin
        return cls(
            prometheus=base + 1090, alertmanager=base + 1093, node=base + 1100, grafana=base + 1101
        )


def check_free(ports: Ports) -> None:
    """
    Raises:
        PortTaken: At least one of them is in use.
    """
    taken = [(name, port) for name, port in ports.each() if not is_free(port)]
    if not taken:
        return
    lines = [f"port {port} ({name}) is taken{_holder_of(port)}" for name, port in taken]
    free = free_ports()
    way_out = f"To move all ports: artstore up --port-base {free.admin}"
    if [name for name, _ in taken] == ["edge"]:
        way_out = f"To choose another: artstore up --edge-port {free.edge}"
    raise PortTaken(f"{'; '.join(lines)}. {way_out}")


def is_free(port: int) -> bool:
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        # As the servers do: a connection that is only winding down blocks nobody.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LISTEN_ADDRESS, port))
        except OSError as error:
            if error.errno in (errno.EADDRINUSE, errno.EACCES):
                return False
            raise
    return True


def holder_of(port: int) -> psutil.Process | None:
    """The process that listens on a port; `None` when the kernel does not tell us."""
    try:
        connections = psutil.net_connections("tcp")
    except psutil.AccessDenied:
        return None
    for connection in connections:
        listens = connection.status == psutil.CONN_LISTEN
        if listens and connection.laddr[1:] == (port,) and connection.pid is not None:
            try:
                return psutil.Process(connection.pid)
            except psutil.NoSuchProcess:
                return None
    return None


def free_ports() -> Ports:
    """A set of ports nobody uses at the moment, for a second copy beside another and its
    monitoring."""
    bases = list(_FREE_BASES)
    random.shuffle(bases)
    for base in bases:
        ports = Ports.from_base(base)
        wanted = [*vars(ports).values(), *vars(MonitorPorts.beside(ports)).values()]
        if all(map(is_free, wanted)):
            return ports
    raise PortTaken(f"no free set of ports between {_FREE_BASES.start} and {_FREE_BASES.stop}.")


def _holder_of(port: int) -> str:
    holder = holder_of(port)
    return f" by {holder.name()} (pid {holder.pid})" if holder else ""
