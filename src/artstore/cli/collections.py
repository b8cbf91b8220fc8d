"""`artstore collections`: files that belong together, and what is asked for them."""

from typing import Annotated, Any
from urllib.parse import quote

import typer

from artstore.cli.options import JsonOption
from artstore.cli.values import count, limit

COLLECTIONS = "/api/v1/collections"

NameArgument = Annotated[str, typer.Argument(help="Name of the collection.")]
TitleOption = Annotated[str | None, typer.Option(help="What people call it.")]
DescriptionOption = Annotated[str | None, typer.Option(help="What belongs into it.")]
CopiesOption = Annotated[
    int | None, typer.Option(min=1, max=2, help="On how many elements each file lies.")
]
SizeOption = Annotated[
    str | None, typer.Option("--size-max", help="Of one file, such as 500MB; none: no limit.")
]
TypesOption = Annotated[
    list[str] | None,
    typer.Option("--type", help="An allowed type, such as application/pdf, image/* or any."),
]
MismatchOption = Annotated[
    str | None, typer.Option(help="A file that is not of its declared type: refuse or flag.")
]
UnscannedOption = Annotated[
    str | None,
    typer.Option(help="What cannot be scanned: refuse, quarantine, accept_marked or none."),
]
QuotaBytesOption = Annotated[
    str | None, typer.Option(help="Of all files together, such as 2TB; none: no limit.")
]
QuotaFilesOption = Annotated[str | None, typer.Option(help="Number of files; none: no limit.")]

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
def show(name: NameArgument, as_json: JsonOption = False) -> None:
    """Show the rules of a collection."""
    from artstore.client.store import ArtStore

    with ArtStore.from_home() as store:
        _print(store.call("GET", _path(name)), as_json=as_json)


@commands.command()
def create(
    name: NameArgument,
    *,
    title: TitleOption = None,
    description: DescriptionOption = None,
    copies: CopiesOption = None,
    size_max: SizeOption = None,
    types: TypesOption = None,
    mismatch: MismatchOption = None,
    unscanned: UnscannedOption = None,
    quota_bytes: QuotaBytesOption = None,
    quota_files: QuotaFilesOption = None,
    as_json: JsonOption = False,
) -> None:
    """Give a collection rules of its own."""
    fields = _given(title=title, description=description, copies=copies)
    rules = _rules(
        size_max=size_max,
        types=types,
        mismatch=mismatch,
        unscanned=unscanned,
        quota_bytes=quota_bytes,
        quota_files=quota_files,
    )
    body = {"collection": name, **fields, **rules}
    _change("POST", COLLECTIONS, body, as_json=as_json)


@commands.command("set")
def set_collection(
    name: NameArgument,
    *,
    title: TitleOption = None,
    description: DescriptionOption = None,
    copies: CopiesOption = None,
    size_max: SizeOption = None,
    types: TypesOption = None,
    mismatch: MismatchOption = None,
    unscanned: UnscannedOption = None,
    quota_bytes: QuotaBytesOption = None,
    quota_files: QuotaFilesOption = None,
    as_json: JsonOption = False,
) -> None:
    """Change the rules of a collection; what is not named stays. No file that is there is
    touched: rules of admission hold for new ones, and asking for one copy deletes none."""
    fields = _given(title=title, description=description, copies=copies)
    fields |= _rules(
        size_max=size_max,
        types=types,
        mismatch=mismatch,
        unscanned=unscanned,
        quota_bytes=quota_bytes,
        quota_files=quota_files,
    )
    if not fields:
        raise typer.BadParameter("nothing to change", param_hint="--title, --copies, ...")
    _change("PATCH", _path(name), fields, as_json=as_json)


def _rules(
    *,
    size_max: str | None,
    types: list[str] | None,
    mismatch: str | None,
    unscanned: str | None,
    quota_bytes: str | None,
    quota_files: str | None,
) -> dict[str, Any]:
    """The member `admission` of a body, if anything of it is named."""
    rules = _given(mismatch=mismatch)
    if size_max is not None:
        rules["size_bytes_max"] = limit(size_max, "--size-max")
    if types is not None:
        rules["allowed_types"] = [] if types == ["any"] else types
    if unscanned is not None:
        rules["unscanned"] = None if unscanned == "none" else unscanned
    if quota_bytes is not None:
        rules["quota_bytes"] = limit(quota_bytes, "--quota-bytes")
    if quota_files is not None:
        rules["quota_files"] = count(quota_files, "--quota-files")
    return {"admission": rules} if rules else {}


def _given(**fields: Any) -> dict[str, Any]:
    return {name: value for name, value in fields.items() if value is not None}


def _path(name: str) -> str:
    return f"{COLLECTIONS}/{quote(name, safe='')}"


def _change(method: str, path: str, body: dict[str, Any], *, as_json: bool) -> None:
    from artstore.cli.output import say
    from artstore.client.store import ArtStore

    with ArtStore.from_home() as store:
        collection = store.call(method, path, body=body)
    _print(collection, as_json=as_json)
    if not as_json and body.get("copies") == 2:
        say("second copies are being made; how far: artstore jobs list")


def _print(collection: dict[str, Any], *, as_json: bool) -> None:
    from artstore.cli.output import print_fields, print_json

    if as_json:
        print_json(collection)
        return
    print_fields(collection)
