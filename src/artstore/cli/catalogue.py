"""`artstore catalogue`: the index of all files, which can be made again at any time."""

from typing import Final

import typer

from artstore.cli.options import JsonOption, YesOption

COLUMNS: Final = (
    "element_id", "state", "behind", "present", "deleted", "missing", "last_seen", "trouble"
)  # fmt: skip

commands = typer.Typer(no_args_is_help=True, rich_markup_mode=None)


def register(app: typer.Typer) -> None:
    app.add_typer(commands, name="catalogue", help="The index of all files.")


@commands.command()
def status(as_json: JsonOption = False) -> None:
    """How far the catalogue has followed each storage element."""
    _show("GET", "/api/v1/catalogue", as_json=as_json)


@commands.command()
def rebuild(yes: YesOption = False, as_json: JsonOption = False) -> None:
    """Make the catalogue again from what the storage elements hold."""
    from artstore.cli.values import confirm

    confirm("rebuild the catalogue", yes)
    _show("POST", "/api/v1/catalogue/rebuild", as_json=as_json)


def _show(method: str, path: str, *, as_json: bool) -> None:
    from artstore.cli.output import print_json, print_table, say
    from artstore.client.store import ArtStore

    with ArtStore.from_home() as store:
        answer = store.call(method, path)
    if as_json:
        print_json(answer)
        return
    if answer["rebuilding"]:
        say("the catalogue is being made again")
    print_table([{**each, **each["files"]} for each in answer["elements"]], COLUMNS)
