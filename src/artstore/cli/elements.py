"""`artstore elements`: where the bytes lie."""

import typer

from artstore.cli.options import JsonOption

commands = typer.Typer(no_args_is_help=True, rich_markup_mode=None)


def register(app: typer.Typer) -> None:
    app.add_typer(commands, name="elements", help="The storage elements.")


@commands.callback()
def _group() -> None:
    """The storage elements."""


@commands.command("list")
def list_elements(as_json: JsonOption = False) -> None:
    """List the registered storage elements."""
    from artstore.cli.output import print_json, print_table
    from artstore.client.store import ArtStore

    with ArtStore.from_home() as store:
        elements = store.items("/api/v1/storage-elements")
        if as_json:
            for element in elements:
                print_json(element)
        else:
            print_table(elements, ("element_id", "url", "priority", "state", "trouble"))
