"""`artstore collections`: files that belong together, and what is asked for them."""

from typing import Annotated, Any
from urllib.parse import quote

import typer

from artstore.cli.options import JsonOption

COLLECTIONS = "/api/v1/collections"

NameArgument = Annotated[str, typer.Argument(help="Name of the collection.")]
TitleOption = Annotated[str | None, typer.Option(help="What people call it.")]
DescriptionOption = Annotated[str | None, typer.Option(help="What belongs into it.")]
CopiesOption = Annotated[
    int | None, typer.Option(min=1, max=2, help="On how many elements each file lies.")
]

commands = typer.Typer(no_args_is_help=True, rich_markup_mode=None)


def register(app: typer.Typer) -> None:
    app.add_typer(commands, name="collections", help="Collections and their rules.")


@commands.command("list")
def list_collections(as_json: JsonOption = False) -> None:
    """List the collections that have rules of their own."""
    from artstore.cli.output import print_json, print_table
    from artstore.client.store import ArtStore

    with ArtStore.from_home() as store:
        collections = store.items(COLLECTIONS)
        if as_json:
            for collection in collections:
                print_json(collection)
        else:
            print_table(collections, ("collection", "copies", "title", "updated_at"))


@commands.command()
def create(
    name: NameArgument,
    title: TitleOption = None,
    description: DescriptionOption = None,
    copies: CopiesOption = None,
    as_json: JsonOption = False,
) -> None:
    """Give a collection rules of its own."""
    fields = _given(title=title, description=description, copies=copies)
    _change("POST", COLLECTIONS, {"collection": name, **fields}, as_json=as_json)


@commands.command("set")
def set_collection(
    name: NameArgument,
    title: TitleOption = None,
    description: DescriptionOption = None,
    copies: CopiesOption = None,
    as_json: JsonOption = False,
) -> None:
    """Change the rules of a collection. Asking for one copy deletes no second one."""
    fields = _given(title=title, description=description, copies=copies)
    if not fields:
        raise typer.BadParameter("nothing to change", param_hint="--title, --copies, ...")
    _change("PATCH", f"{COLLECTIONS}/{quote(name, safe='')}", fields, as_json=as_json)


def _given(**fields: Any) -> dict[str, Any]:
    return {name: value for name, value in fields.items() if value is not None}


def _change(method: str, path: str, body: dict[str, Any], *, as_json: bool) -> None:
    from artstore.cli.output import print_fields, print_json, say
    from artstore.client.store import ArtStore

    with ArtStore.from_home() as store:
        collection = store.call(method, path, body=body)
    if as_json:
        print_json(collection)
        return
    print_fields(collection)
    if body.get("copies") == 2:
        say("second copies are being made; how far: artstore jobs list")
