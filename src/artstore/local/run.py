"""One life of the stack: from the lock on its directory to the end of the last process."""

import asyncio
import os
import resource
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Final

from artstore.core.clock import Clock
from artstore.core.settings import ConfigurationError
from artstore.local import edge
from artstore.local.account import launched
from artstore.local.failures import StackFailure
from artstore.local.layout import EDGE, Layout
from artstore.local.logs import EventLog, RotatingLog
from artstore.local.modules import base_environment
from artstore.local.ports import check_free
from artstore.local.stack_programs import stack_programs
from artstore.local.supervisor import Supervisor, end_orphans

START_LIMIT_S: Final = 90.0
"""Longest time from the first process to readiness; a slow disk needs most of it once."""
ORPHAN_GRACE_S: Final = 15.0
ROTATION_CHECK_INTERVAL: Final = timedelta(hours=1)
ROTATE_EVERY_DAYS: Final = "ARTSTORE_ROTATE_EVERY_DAYS"
"""0: never by itself."""
RENEWAL_CHECK_INTERVAL: Final = timedelta(seconds=2)


def run(layout: Layout, clock: Clock, when_ready: Callable[[], None]) -> None:
    """Start everything, keep it running until SIGINT, SIGTERM or SIGHUP, stop everything.

    Raises:
        StackFailure: It cannot be started; nothing of ours is left running.
    """
    layout.home.create()
    with layout.home.locked(), _event_log(layout, clock) as events:
        left_behind = end_orphans(layout.home.status_file, layout.home.root, ORPHAN_GRACE_S)
        if left_behind:
            events.warning("ended what an earlier supervisor left behind", processes=left_behind)
        check_free(layout.ports)
        _write(layout, clock)
        _raise_file_limit()
        asyncio.run(_supervise(layout, clock, events, when_ready))


def _write(layout: Layout, clock: Clock) -> None:
    try:
        layout.write(clock.now())
    except (ConfigurationError, OSError) as error:
        raise StackFailure(f"the state directory cannot be used: {error}") from error


async def _supervise(
    layout: Layout, clock: Clock, events: EventLog, when_ready: Callable[[], None]
) -> None:
    supervisor = Supervisor(
        stack_programs(layout),
        layout.home.root,
        logs=layout.home.log,
        status_file=layout.home.status_file,
        clock=clock,
        events=events,
    )
    stop = asyncio.Event()
    _listen_for_signals(stop, supervisor)
    starting = asyncio.create_task(supervisor.start(START_LIMIT_S))
    beside = [
        asyncio.create_task(_keep_certificates_fresh(layout, clock, supervisor, events)),
        asyncio.create_task(_keep_credentials_fresh(layout, starting, events)),
    ]
    if layout.witness is not None:
        follow = layout.witness.follow_the_log(lambda: layout.postgres.url(layout.superuser))
        beside.append(asyncio.create_task(follow))
    try:
        await _first(starting, stop)
        if not stop.is_set():
            when_ready()
            await supervisor.watch(stop)
    finally:
        starting.cancel()
        for task in beside:
            task.cancel()
        await supervisor.stop()


async def _first(starting: asyncio.Task[None], stop: asyncio.Event) -> None:
    """Ready, or asked to stop before; whichever comes first."""
    stopping = asyncio.create_task(stop.wait())
    await asyncio.wait({starting, stopping}, return_when=asyncio.FIRST_COMPLETED)
    stopping.cancel()
    if starting.done():
        starting.result()


async def _keep_certificates_fresh(
    layout: Layout, clock: Clock, supervisor: Supervisor, events: EventLog
) -> None:
    """Renew what is due. Modules see a new certificate by themselves, Caddy is told; whoever
    changed its files, `artstore pki` included."""
    edge_state = _state_of(layout)
    renew, identities = layout.certificates.renew_due, layout.identities
    while True:
        await asyncio.sleep(RENEWAL_CHECK_INTERVAL.total_seconds())
        try:
            for identity in await asyncio.to_thread(renew, clock.now(), identities):
                events.info("certificate renewed", identity=identity.uri)
        except (OSError, StackFailure) as error:
            # A third of its life is left for the disk to find room again.
            events.warning("certificates not renewed", cause=error)
        if (state := _state_of(layout)) != edge_state:
            edge_state = state
            supervisor.signal("edge", edge.RELOAD)


async def _keep_credentials_fresh(
    layout: Layout, starting: asyncio.Task[None], events: EventLog
) -> None:
    """Rotate what is due, in a process of its own: it waits a lot, and can be killed anywhere."""
    await asyncio.wait([starting])
    program = [sys.executable, "-m", "artstore.cli", "rotate", "--due"]
    command = launched([*program, "--home", layout.home.root], parent_death=signal.SIGKILL)
    while os.environ.get(ROTATE_EVERY_DAYS) != "0":
        process = await asyncio.create_subprocess_exec(
            *command,
            env=_rotation_environment(),
            cwd=layout.home.root,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.PIPE,
        )
        try:
            _, said = await process.communicate()
        except asyncio.CancelledError:
            process.kill()
            await process.wait()
            raise
        if process.returncode:
            # The alert on the age of credentials tells whom it may concern.
            events.warning("credentials not rotated", cause=said.decode("utf-8", "replace")[-500:])
        elif said:
            events.info("credentials rotated", steps=said.decode("utf-8", "replace")[-2000:])
        await asyncio.sleep(ROTATION_CHECK_INTERVAL.total_seconds())


def _rotation_environment() -> dict[str, str]:
    given = os.environ.get(ROTATE_EVERY_DAYS)
    return base_environment() | ({ROTATE_EVERY_DAYS: given} if given else {})


def _state_of(layout: Layout) -> list[tuple[int, int] | None]:
    """Of the files that Caddy has read."""
    files = layout.certificates.files(EDGE.instance)
    read = (files.certificate, files.key, layout.certificates.modules_file)
    return [_facts(path) for path in read]


def _facts(path: Path) -> tuple[int, int] | None:
    try:
        facts = path.stat()
    except FileNotFoundError:
        return None
    return facts.st_mtime_ns, facts.st_ino


def _listen_for_signals(stop: asyncio.Event, supervisor: Supervisor) -> None:
    def on_signal() -> None:
        if stop.is_set():
            # Whoever asks twice does not want to wait. All of them can be killed at any time.
            supervisor.kill()
        stop.set()

    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        loop.add_signal_handler(number, on_signal)


@contextmanager
def _event_log(layout: Layout, clock: Clock) -> Iterator[EventLog]:
    events = EventLog(RotatingLog(layout.home.log / "supervisor.log"), clock)
    try:
        yield events
    finally:
        events.close()


def _raise_file_limit() -> None:
    """The children inherit it: each connection is a file to them."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
