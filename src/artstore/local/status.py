"""How the processes of a stack are, seen from outside of it."""

import asyncio
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Final

from artstore.local import probes
from artstore.local.home import Home
from artstore.local.layout import Layout
from artstore.local.ports import Ports
from artstore.local.stack_programs import WITNESS_NAME
from artstore.local.supervised import ProgramStatus, State
from artstore.local.supervisor import read_status

_ON_THE_WAY: Final = frozenset({State.WAITING, State.STARTING, State.DIED})


class Health(StrEnum):
    STARTING = "starting"
    READY = "ready"
    NOT_READY = "not_ready"
    """It runs, and says itself that it cannot do its work now."""
    UNREACHABLE = "unreachable"
    """It runs but does not answer."""
    STOPPED = "stopped"


@dataclass(frozen=True)
class ProcessReport:
    name: str
    pid: int | None
    port: int | None
    """`None` for those that listen on a UNIX socket only."""
    health: Health


def remembered_layout(home: Home) -> Layout:
    return Layout(home, Ports.remembered(home.ports_file) or Ports.from_base())


async def reports(layout: Layout) -> list[ProcessReport]:
    """One for each process, in the order of the stack; empty before the first start."""
    entries = read_status(layout.home.status_file)
    is_supervised = layout.home.supervisor() is not None
    return list(await asyncio.gather(*(_report(layout, each, is_supervised) for each in entries)))


async def _report(layout: Layout, entry: ProgramStatus, is_supervised: bool) -> ProcessReport:
    is_alive = entry.identity is not None and entry.identity.is_alive()
    pid = entry.pid if is_alive else None
    if is_supervised and entry.state in _ON_THE_WAY:
        health = Health.STARTING
    elif is_alive:
        health = await _health(layout, entry)
    else:
        health = Health.STOPPED
    return ProcessReport(entry.name, pid, entry.port, health)


async def _health(layout: Layout, entry: ProgramStatus) -> Health:
    if entry.port is None:
        found = entry.socket is not None and await probes.accepts(Path(entry.socket))
        return Health.READY if found else Health.UNREACHABLE
    # What a witness is told and answers is signed; it needs no certificate on this machine.
    plain = entry.name == WITNESS_NAME
    context = None if plain else probes.trusting(layout.certificates.authority_file)
    status = await probes.http_status(entry.port, "/health/ready", context)
    if status is None:
        return Health.UNREACHABLE
    # The edge has no such address of its own: that it answers is all there is to know.
    return Health.READY if status == 200 or entry.name == "edge" else Health.NOT_READY
