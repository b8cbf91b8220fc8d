"""`artstore rotate`: replace passwords, secrets and certificates while everything runs."""

from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from artstore.cli.options import JsonOption
from artstore.cli.output import print_json, print_line, print_table, say
from artstore.cli.stack import HomeOption, failures_told

if TYPE_CHECKING:
    from artstore.rotation.installation import Installation, Standing
    from artstore.rotation.procedure import Credential, Step

COLUMNS = ("name", "kind", "changed_at", "due_at", "stands_at")


def register(app: typer.Typer) -> None:
    app.command()(rotate)


def rotate(  # noqa: PLR0917  options of a command
    kinds: Annotated[
        list[str] | None,
        typer.Argument(help="Kinds or names, as --dry-run shows them; otherwise all."),
    ] = None,
    due: Annotated[
        bool, typer.Option("--due", help="Only what is due, or was begun and not finished.")
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show each one, its age and when it is due.")
    ] = False,
    leaked: Annotated[
        bool,
        typer.Option(help="Somebody else knows them: of accounts, too, the old one ends at once."),
    ] = False,
    every_days: Annotated[
        int, typer.Option(help="When one is due.", min=1, envvar="ARTSTORE_ROTATE_EVERY_DAYS")
    ] = 30,
    plan: Annotated[
        Path | None,
        typer.Option(help="What to rotate, of an installation that `artstore up` does not run."),
    ] = None,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Replace passwords, secrets and certificates. No request fails, nothing is restarted.

    What was cut short goes on where it stood: give the command again.
    """
    from artstore.core.settings import ConfigurationError
    from artstore.rotation.procedure import RotationFailed

    every = timedelta(days=every_days)
    try:
        with failures_told():
            if plan is None and not dry_run:
                _check_running(home)
            installation = _installation(plan, home, leaked=leaked)
            if dry_run:
                _show(installation, kinds or [], every, as_json=as_json)
            else:
                _rotate(installation, kinds or [], every, only_due=due, as_json=as_json)
    except (RotationFailed, ConfigurationError) as failure:
        _fail([str(failure)])


def _installation(plan: Path | None, home: Path | None, *, leaked: bool) -> "Installation":
    from artstore.core.clock import SystemClock
    from artstore.local.home import find_home
    from artstore.local.rotation import local_installation
    from artstore.local.status import remembered_layout
    from artstore.rotation.plan import read_plan

    if plan is not None:
        return read_plan(plan).installation(leaked=leaked)
    return local_installation(remembered_layout(find_home(home)), SystemClock(), leaked=leaked)


def _check_running(home: Path | None) -> None:
    """Otherwise each credential is begun and fails, with a reason of its own."""
    from artstore.local.failures import StackFailure
    from artstore.local.home import find_home
    from artstore.local.stack import Stack

    if not Stack(find_home(home)).is_running:
        raise StackFailure("ArtStore is not running, and must be for this. Start it: artstore up")


def _show(
    installation: "Installation", wanted: list[str], every: timedelta, *, as_json: bool
) -> None:
    from artstore.core.clock import SystemClock

    rotation = installation.rotation(SystemClock())
    rows = [
        _row(installation.standing(each, every, rotation)) for each in installation.chosen(wanted)
    ]
    if as_json:
        for row in rows:
            print_json(row)
    else:
        print_table(iter(rows), COLUMNS)


def _rotate(
    installation: "Installation",
    wanted: list[str],
    every: timedelta,
    *,
    only_due: bool,
    as_json: bool,
) -> None:
    """All of them, also after one failed: they do not depend on each other."""
    from artstore.core.clock import SystemClock
    from artstore.core.settings import ConfigurationError
    from artstore.rotation.procedure import RotationFailed

    clock = SystemClock()
    failures: list[str] = []
    fresh: list[Credential] = []
    with installation.only_one():
        rotation = installation.rotation(clock, _tell_step)
        for credential in installation.chosen(wanted):
            try:
                standing = installation.standing(credential, every, rotation)
                if only_due and not standing.is_due(clock.now()):
                    fresh.append(credential)
                    continue
                outcome = rotation.rotate(credential)
            except (RotationFailed, ConfigurationError) as failure:
                failures.append(str(failure))
                continue
            row = {"name": outcome.name, "kind": outcome.kind, "took_s": round(outcome.took_s, 1)}
            if as_json:
                print_json(row)
            else:
                print_line(f"{outcome.name}: replaced in {outcome.took_s:.1f} s")
        try:
            if fresh:
                installation.tell_ages(fresh)
        except RotationFailed as failure:
            failures.append(str(failure))
    if failures:
        _fail(failures)


def _row(standing: "Standing") -> dict[str, Any]:
    return {
        "name": standing.name,
        "kind": standing.kind,
        "changed_at": standing.changed_at.isoformat(),
        "due_at": standing.due_at.isoformat(),
        "stands_at": str(standing.stands_at) if standing.stands_at else None,
    }


def _tell_step(name: str, step: "Step") -> None:
    say(f"{name}: {step}")


def _fail(failures: list[str]) -> None:
    for failure in failures:
        say(f"artstore: {failure}")
    raise typer.Exit(1)
