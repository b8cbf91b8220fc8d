"""`artstore up`, `down`, `status`, `doctor`: the embedded stack of this machine."""

import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from artstore.cli.options import JsonOption
from artstore.cli.output import print_json, print_line, print_table, say

if TYPE_CHECKING:
    from artstore.local.layout import Layout
    from artstore.local.stack import Stack

HomeOption = Annotated[
    Path | None,
    typer.Option(
        "--home", help="State directory; otherwise $ARTSTORE_HOME or .artstore.", metavar="DIR"
    ),
]
PORT_MAX = 65535


def register(app: typer.Typer) -> None:
    app.command()(up)
    app.command()(down)
    app.command()(status)
    app.command()(doctor)


def up(
    home: HomeOption = None,
    detach: Annotated[
        bool, typer.Option("--detach", "-d", help="Return when ready; stop with artstore down.")
    ] = False,
    port_base: Annotated[
        int | None,
        typer.Option(
            help="Moves all ports: 18000 means 18000 to 18443.", min=1, max=PORT_MAX - 443
        ),
    ] = None,
    edge_port: Annotated[
        int | None, typer.Option(help="The one port users see.", min=1, max=PORT_MAX)
    ] = None,
) -> None:
    """Start ArtStore on this machine, with everything it needs."""
    from artstore.core.clock import SystemClock
    from artstore.local.home import AlreadyRunning, choose_home
    from artstore.local.run import run
    from artstore.local.stack import Stack
    from artstore.local.status import remembered_layout

    with failures_told():
        chosen = choose_home(home)
        ports = remembered_layout(chosen).ports.choose(port_base, edge_port)
        stack = Stack(chosen, ports)
        try:
            if detach:
                stack.start()
                _tell_ready(stack.layout, detached=True)
            else:
                say("Starting ArtStore; Ctrl-C stops it.")
                run(stack.layout, SystemClock(), lambda: _tell_ready(stack.layout, detached=False))
                say("Stopped.")
        except AlreadyRunning:
            running = remembered_layout(chosen)
            print_line(f"ArtStore is already running in {chosen.root}: {running.edge_url}")


def down(home: HomeOption = None) -> None:
    """Stop what `artstore up` started. Data stays."""
    with failures_told():
        was_running = _stack(home).stop()
    say("Stopped." if was_running else "ArtStore was not running.")


def status(home: HomeOption = None, as_json: JsonOption = False) -> None:
    """Show each process. Exit code 0 when all are ready, else 1."""
    from artstore.local.status import Health

    with failures_told():
        stack = _stack(home)
        processes = stack.processes()
    rows = [
        {"name": each.name, "pid": each.pid, "port": each.port, "health": str(each.health)}
        for each in processes
    ]
    if as_json:
        print_json({"edge": stack.layout.edge_url, "processes": rows})
    elif rows:
        print_line(f"edge  {stack.layout.edge_url}")
        print_table(rows, ("name", "pid", "port", "health"))
    else:
        say(f"ArtStore was never started in {stack.home.root}. Start it: artstore up")
    if not rows or any(each.health is not Health.READY for each in processes):
        raise typer.Exit(1)


def doctor(home: HomeOption = None, as_json: JsonOption = False) -> None:
    """Check this machine and the state directory; say how to mend what is wrong."""
    from artstore.core.clock import SystemClock
    from artstore.local.doctor import Verdict, examine

    with failures_told():
        findings = examine(_stack(home), SystemClock())
    for finding in findings:
        if as_json:
            print_json(
                {
                    "check": finding.check,
                    "verdict": str(finding.verdict),
                    "detail": finding.detail,
                    "fix": finding.fix,
                }
            )
        else:
            print_line(f"{finding.verdict:<5} {finding.check}: {finding.detail}")
            if finding.fix:
                print_line(f"      -> {finding.fix}")
    if any(finding.verdict is Verdict.FAILED for finding in findings):
        raise typer.Exit(1)


def _stack(home: Path | None) -> "Stack":
    from artstore.local.home import find_home
    from artstore.local.stack import Stack

    return Stack(find_home(home))


@contextmanager
def failures_told() -> Iterator[None]:
    from artstore.local.failures import StackFailure

    try:
        yield
    except StackFailure as failure:
        print(f"artstore: {failure}", file=sys.stderr)
        raise typer.Exit(1) from None


def _tell_ready(layout: "Layout", *, detached: bool) -> None:
    from artstore.local.layout import ADMIN_NAME
    from artstore.local.secret_files import ADMIN_PASSWORD

    root, password_file = layout.home.root, layout.secrets.file(ADMIN_PASSWORD)
    artstore = _own_name()
    lines = [
        "ArtStore is ready.",
        "",
        f"  {layout.edge_url}",
        f"  authority of its certificates: {layout.certificates.authority_file}",
        f"  administrator: {ADMIN_NAME}, one-time password in {password_file}",
        f"  state: {root}   logs: {layout.home.log}",
        "",
        "Try:",
        f"  {artstore} put README.md",
        f"  {artstore} search readme",
        f"  {artstore} get <id> -o copy",
    ]
    if root.name != ".artstore" or root.parent != Path.cwd().resolve():
        lines.insert(-3, f"  export ARTSTORE_HOME={root}")
    if detached:
        lines += ["", f"Stop it: {artstore} down"]
    for line in lines:
        print_line(line)


def _own_name() -> str:
    """How the person can call us again: in an environment that is not active, by path."""
    called = Path(sys.argv[0])
    if called.name != "artstore" or shutil.which("artstore") is not None:
        return "artstore"
    return str(called)
