"""`artstore monitor up`: Prometheus, AlertManager and the node exporter of this machine.

They read the very files that are deployed elsewhere (`monitoring/`); only addresses and
certificates are ours. They are not part of the stack: it runs without them, and they go on
while it is down, since that is what they have to report.
"""

import asyncio
import shutil
import signal
from collections.abc import Callable
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Final

from artstore.core.clock import Clock
from artstore.core.private_files import private_folder, write_private
from artstore.local.account import launched
from artstore.local.failures import StackFailure
from artstore.local.layout import PEOPLE, Layout
from artstore.local.logs import EventLog, RotatingLog
from artstore.local.modules import base_environment
from artstore.local.ports import LISTEN_ADDRESS, MonitorPorts
from artstore.local.probes import http_status
from artstore.local.program import Program
from artstore.local.supervisor import Supervisor, end_orphans

RETENTION: Final = "30d"
PROMETHEUS_PATH: Final = "/monitoring/prometheus"
ALERTMANAGER_PATH: Final = "/monitoring/alertmanager"
"""Behind the edge, and so everywhere: their pages and links hold it."""
START_LIMIT_S: Final = 60.0
ORPHAN_GRACE_S: Final = 15.0
PLACEHOLDER_RECEIVER: Final = "http://alert-receiver:9095"
_RULES: Final = ("rules.yml", "alerts.yml")
_PACKAGES: Final = {
    "prometheus": "prometheus",
    "alertmanager": "prometheus-alertmanager",
    "node_exporter": "prometheus-node-exporter",
}


@dataclass(frozen=True)
class Monitor:
    layout: Layout
    receiver: str
    """Base URL of the webhook that is told of alerts."""

    @property
    def ports(self) -> MonitorPorts:
        return MonitorPorts.beside(self.layout.ports)

    @property
    def folder(self) -> Path:
        return self.layout.home.config / "monitoring"

    def run(self, clock: Clock, when_ready: Callable[[], None]) -> None:
        """Until SIGINT or SIGTERM.

        Raises:
            StackFailure: They cannot be started; none is left running.
        """
        home = self.layout.home
        if not home.exists:
            raise StackFailure(f"ArtStore was never started in {home.root}: artstore up")
        programs = self._programs()
        with home.only_one("monitor", "monitoring"):
            status_file = home.run / "monitor.json"
            end_orphans(status_file, home.root, ORPHAN_GRACE_S)
            self.configure()
            events = EventLog(RotatingLog(home.log / "monitor.log"), clock)
            try:
                asyncio.run(self._supervise(programs, status_file, clock, events, when_ready))
            finally:
                events.close()

    def configure(self) -> None:
        """Everything that the programs read, written anew."""
        private_folder(self.folder)
        for name in ("prometheus.yml", *_RULES):
            write_private(self.folder / name, _deployed(f"prometheus/{name}"))
        self._write_targets()
        self._link_certificates()
        alerting = _deployed("alertmanager/alertmanager.yml")
        write_private(
            self.folder / "alertmanager.yml",
            alerting.replace(PLACEHOLDER_RECEIVER, self.receiver.rstrip("/")),
        )

    def _write_targets(self) -> None:
        private_folder(self.folder / "targets")
        targets: dict[str, list[int]] = {
            "node": [self.ports.node],
            "prometheus": [self.ports.prometheus],
            "alertmanager": [self.ports.alertmanager],
        }
        for module in self.layout.modules.values():
            targets.setdefault(module.module, []).append(module.port)
        for job, ports in targets.items():
            lines = "".join(f"    - {LISTEN_ADDRESS}:{port}\n" for port in ports)
            write_private(self.folder / "targets" / f"{job}.yml", f"- targets:\n{lines}")

    def _link_certificates(self) -> None:
        """Links, not copies: a renewed certificate is read with the next connection."""
        tls = self.layout.certificates.files(PEOPLE[1].instance)
        folder = private_folder(self.folder / "tls")
        for name, file in (
            ("ca.pem", tls.ca),
            ("monitoring.pem", tls.certificate),
            ("monitoring.key", tls.key),
        ):
            link = folder / name
            link.unlink(missing_ok=True)
            link.symlink_to(file)

    def _programs(self) -> list[Program]:
        data = self.layout.home.data
        return [
            _program(
                "node-exporter",
                self.ports.node,
                "/",
                [
                    _installed("prometheus-node-exporter", "node_exporter"),
                    f"--web.listen-address={LISTEN_ADDRESS}:{self.ports.node}",
                ],
            ),
            _program(
                "alertmanager",
                self.ports.alertmanager,
                f"{ALERTMANAGER_PATH}/-/ready",
                [
                    _installed("prometheus-alertmanager", "alertmanager"),
                    f"--config.file={self.folder / 'alertmanager.yml'}",
                    f"--storage.path={data / 'alertmanager'}",
                    f"--web.listen-address={LISTEN_ADDRESS}:{self.ports.alertmanager}",
                    f"--web.external-url={self.layout.edge_url}{ALERTMANAGER_PATH}",
                    "--cluster.listen-address=",
                ],
            ),
            _program(
                "prometheus",
                self.ports.prometheus,
                f"{PROMETHEUS_PATH}/-/ready",
                [
                    _installed("prometheus"),
                    f"--config.file={self.folder / 'prometheus.yml'}",
                    f"--storage.tsdb.path={data / 'prometheus'}",
                    f"--storage.tsdb.retention.time={RETENTION}",
                    f"--web.listen-address={LISTEN_ADDRESS}:{self.ports.prometheus}",
                    f"--web.external-url={self.layout.edge_url}{PROMETHEUS_PATH}",
                    "--enable-feature=exemplar-storage",
                ],
            ),
        ]

    async def _supervise(
        self,
        programs: list[Program],
        status_file: Path,
        clock: Clock,
        events: EventLog,
        when_ready: Callable[[], None],
    ) -> None:
        home = self.layout.home
        supervisor = Supervisor(
            programs, home.root, logs=home.log, status_file=status_file, clock=clock, events=events
        )
        stop = asyncio.Event()
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            asyncio.get_running_loop().add_signal_handler(number, stop.set)
        try:
            await supervisor.start(START_LIMIT_S)
            when_ready()
            await supervisor.watch(stop)
        finally:
            await supervisor.stop()


def _program(name: str, port: int, path: str, command: list[str]) -> Program:
    async def is_ready(_: int) -> bool:
        return await http_status(port, path, None) == 200

    return Program(
        name=name,
        command=launched(command, parent_death=signal.SIGTERM),
        is_ready=is_ready,
        environment=base_environment(),
        port=port,
    )


def _installed(*names: str) -> str:
    for name in names:
        if found := shutil.which(name):
            return found
    package = _PACKAGES[names[-1]]
    raise StackFailure(f"{names[-1]} is not installed. On Debian: apt-get install {package}")


def _deployed(path: str) -> str:
    return files("artstore.local").joinpath("monitoring", path).read_text("utf-8")
