"""`artstore monitor up`: graphs and alerts of this machine, without Docker."""

from typing import TYPE_CHECKING, Annotated

import typer

from artstore.cli.output import print_line, say
from artstore.cli.stack import HomeOption, failures_told

if TYPE_CHECKING:
    from artstore.local.monitor import Monitor

monitor = typer.Typer(no_args_is_help=True, help="Prometheus and AlertManager for this machine.")


def register(app: typer.Typer) -> None:
    app.add_typer(monitor, name="monitor")


@monitor.callback()
def _group() -> None:
    """Keeps `up` a command of its own while it is the only one."""


@monitor.command()
def up(
    home: HomeOption = None,
    webhook: Annotated[
        str, typer.Option(help="Base URL that is told of alerts: /critical, /warning, /watchdog.")
    ] = "http://127.0.0.1:9095",
) -> None:
    """Watch the ArtStore of this machine until Ctrl-C."""
    from artstore.core.clock import SystemClock
    from artstore.local.home import find_home
    from artstore.local.monitor import Monitor
    from artstore.local.status import remembered_layout

    with failures_told():
        watching = Monitor(remembered_layout(find_home(home)), webhook)
        say("Starting Prometheus, AlertManager and the node exporter; Ctrl-C stops them.")
        watching.run(SystemClock(), lambda: _tell_ready(watching))
        say("Stopped.")


def _tell_ready(watching: "Monitor") -> None:
    from artstore.local.monitor import ALERTMANAGER_PATH, PROMETHEUS_PATH

    edge = watching.layout.edge_url
    print_line(f"Prometheus    {edge}{PROMETHEUS_PATH}/")
    print_line(f"AlertManager  {edge}{ALERTMANAGER_PATH}/")
    print_line(f"Node exporter http://127.0.0.1:{watching.ports.node}")
    say(
        "Their pages want an access token, or the cookie that a signed-in administrator or auditor"
        " gets from POST /api/v1/monitoring/session."
    )
