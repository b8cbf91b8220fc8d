"""Keeps programs running: starts them in order, starts again what dies, stops all.

Knows nothing of ArtStore, so that it can be tested with programs of three lines.
"""

import asyncio
import json
import signal
from collections.abc import Coroutine, Sequence
from dataclasses import asdict
from itertools import groupby
from pathlib import Path

from artstore.core.clock import Clock
from artstore.core.private_files import write_private
from artstore.local.logs import EventLog, RotatingLog
from artstore.local.process_identity import ProcessIdentity
from artstore.local.program import Program
from artstore.local.supervised import ProgramStatus, StartFailed, State, Supervised


class Supervisor:
    """Programs of one state directory.

    Args:
        programs: In the order in which people should see them.
        folder: Where they work; a process that works elsewhere is not taken for ours.
        logs: Each writes `<name>.log` there.
        status_file: Always holds which process is which (`read_status`).
    """

    def __init__(
        self,
        programs: Sequence[Program],
        folder: Path,
        *,
        logs: Path,
        status_file: Path,
        clock: Clock,
        events: EventLog,
    ) -> None:
        self._status_file = status_file
        self._events = events
        self._children = {
            program.name: Supervised(
                program, folder, RotatingLog(logs / f"{program.name}.log"), clock, self._changed
            )
            for program in programs
        }
        self._tasks: list[asyncio.Task[None]] = []
        self._failure: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    async def start(self, limit_s: float) -> None:
        """Returns when all are ready.

        Raises:
            StartFailed: One cannot be started, or not within `limit_s`. `stop` has to follow.
        """
        for child in self._children.values():
            task = asyncio.create_task(child.keep(self._children), name=child.program.name)
            task.add_done_callback(self._on_task_end)
            self._tasks.append(task)
        if not await self._or_failure(self._all_ready(), limit_s):
            raise StartFailed(self._who_is_late(limit_s))

    async def watch(self, stop: asyncio.Event) -> None:
        """Returns when `stop` is set. What fails for good until then is raised."""
        await self._or_failure(_until(stop))

    async def stop(self) -> None:
        """All, in good order: who needs others goes before them."""
        by_stage = sorted(self._children.values(), key=lambda child: -child.program.stage)
        for _, children in groupby(by_stage, key=lambda child: child.program.stage):
            await asyncio.gather(*(child.stop() for child in children))
        for task in self._tasks:
            # Those that still wait for others to become ready.
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._failure.cancel()
        for child in self._children.values():
            child.close()

    def kill(self) -> None:
        for child in self._children.values():
            child.kill()

    def signal(self, name: str, signal_number: signal.Signals) -> None:
        self._children[name].signal(signal_number)

    async def _or_failure(
        self, awaited: Coroutine[None, None, None], limit_s: float | None = None
    ) -> bool:
        """Wait, but not past the failure of a program. Says whether what we waited for came."""
        task = asyncio.create_task(awaited)
        await asyncio.wait(
            {task, self._failure}, timeout=limit_s, return_when=asyncio.FIRST_COMPLETED
        )
        if self._failure.done():
            task.cancel()
            self._failure.result()
        return task.done() or not task.cancel()

    async def _all_ready(self) -> None:
        for child in self._children.values():
            await child.ready.wait()

    def _on_task_end(self, task: asyncio.Task[None]) -> None:
        if task.cancelled() or self._failure.done():
            return
        error = task.exception()
        if error is not None:
            self._failure.set_exception(error)

    def _changed(self, child: Supervised, facts: dict[str, object]) -> None:
        say = self._events.warning if child.state is State.DIED else self._events.info
        say(f"process {child.state}", process=child.program.name, pid=child.status().pid, **facts)
        write_status(self._status_file, [each.status() for each in self._children.values()])

    def _who_is_late(self, limit_s: float) -> str:
        late = [
            f"{child.program.name} is {child.state}"
            for child in self._children.values()
            if not child.ready.is_set()
        ]
        return f"not ready after {limit_s:.0f} s: {', '.join(late)}. Their logs say why."


async def _until(event: asyncio.Event) -> None:
    await event.wait()


def write_status(file: Path, programs: Sequence[ProgramStatus]) -> None:
    write_private(file, json.dumps([asdict(program) for program in programs], indent=1))


def read_status(file: Path) -> list[ProgramStatus]:
    """What the last supervisor wrote; empty where none ever ran."""
    try:
        text = file.read_text("utf-8")
    except FileNotFoundError:
        return []
    return [
        ProgramStatus(**{**entry, "state": State(entry["state"])}) for entry in json.loads(text)
    ]


def orphans(file: Path, folder: Path) -> list[tuple[ProgramStatus, ProcessIdentity]]:
    """Processes that a supervisor left behind and that are still what they were."""
    found = []
    for entry in read_status(file):
        identity = entry.identity
        if identity is not None and identity.is_alive() and identity.works_in(folder):
            found.append((entry, identity))
    return found


def end_orphans(file: Path, folder: Path, grace_s: float) -> list[str]:
    """End what a killed supervisor left behind, all at once; says their names."""
    left = orphans(file, folder)
    for entry, identity in left:
        identity.ask(signal.Signals(entry.stop_signal))
    for _, identity in left:
        if not identity.wait_gone(grace_s):
            identity.ask(signal.SIGKILL)
            identity.wait_gone(grace_s)
    return [entry.name for entry, _ in left]
