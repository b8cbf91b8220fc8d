"""`artstore restore`: bring back what lies in an archive."""

from typing import TYPE_CHECKING, Annotated

import typer

from artstore.cli.options import JsonOption

if TYPE_CHECKING:
    from artstore.core.model.restored import Restore


def register(app: typer.Typer) -> None:
    app.command()(restore)


def restore(
    file_id: Annotated[str, typer.Argument(help="As ls or search print it.")],
    wait: Annotated[bool, typer.Option("--wait", help="Until it can be downloaded.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Ask for a file that lies in an archive; then `artstore get` brings it, for a while."""
    from artstore.cli.output import print_json, say
    from artstore.cli.waiting import Standing, wait_for
    from artstore.client.store import ArtStore
    from artstore.core.model.restored import RestoreState

    with ArtStore.from_home() as store:
        found = store.restore(file_id)

        def look() -> Standing:
            nonlocal found
            found = store.restore_status(file_id)
            pending = found.state is RestoreState.PENDING
            return Standing(0.0 if pending else 1.0, found.trouble or "", not pending)

        if wait and found.state is RestoreState.PENDING:
            wait_for(f"restoring {file_id}", look)
    if as_json:
        print_json(found.model_dump(mode="json"))
    else:
        say(_words(found))
    if found.state not in (RestoreState.PENDING, RestoreState.READY):
        raise typer.Exit(1)


def _words(found: "Restore") -> str:
    match found.state.value:
        case "ready":
            until = f"{found.expires_at:%Y-%m-%d %H:%M} UTC"
            return f"{found.file_id} can be downloaded until {until}: artstore get {found.file_id}"
        case "pending":
            why = f" ({found.trouble})" if found.trouble else ""
            return f"{found.file_id} is on its way{why}; look again with the same command"
        case "failed":
            return f"failed: {found.file_id}: {found.trouble}"
    return f"{found.file_id} was not restored: {found.state.value}; ask again"
