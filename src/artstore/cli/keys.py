"""`artstore keys`: the keys that sign access tokens."""

from typing import Annotated, Any

import typer

from artstore.cli.options import JsonOption, YesOption

KEYS = "/api/v1/jwt-keys"

commands = typer.Typer(no_args_is_help=True, rich_markup_mode=None)


def register(app: typer.Typer) -> None:
    app.add_typer(commands, name="keys", help="Keys that sign access tokens.")


@commands.command("list")
def list_keys(as_json: JsonOption = False) -> None:
    """List the keys: the next one, the one that signs, and those whose tokens still live."""
    from artstore.client.store import ArtStore

    with ArtStore.from_home() as store:
        _show(store.call("GET", KEYS), as_json=as_json)


@commands.command()
def rotate(
    stolen: Annotated[
        bool,
        typer.Option(help="Replace all keys and end all tokens: everybody signs in again."),
    ] = False,
    yes: YesOption = False,
    as_json: JsonOption = False,
) -> None:
    """Let the next key sign from now on. Nobody's request fails."""
    from artstore.cli.values import confirm
    from artstore.client.store import ArtStore

    if stolen:
        confirm("end all tokens of everybody", yes)
    with ArtStore.from_home() as store:
        _show(store.call("POST", f"{KEYS}/rotate", body={"stolen": stolen}), as_json=as_json)


def _show(page: Any, *, as_json: bool) -> None:
    from artstore.cli.output import print_json, print_table

    if as_json:
        for key in page["items"]:
            print_json(key)
    else:
        print_table(iter(page["items"]), ("kid", "state", "created_at", "activated_at"))
