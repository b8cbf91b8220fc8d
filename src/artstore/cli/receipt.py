"""`artstore receipt`: what the archive signed for whoever deposited a document."""

from pathlib import Path
from typing import Annotated

import typer

from artstore.cli.options import JsonOption

commands = typer.Typer(no_args_is_help=True, rich_markup_mode=None)


def register(app: typer.Typer) -> None:
    app.add_typer(commands, name="receipt", help="Deposit receipts: the archive's signature.")


@commands.command()
def verify(
    receipts: Annotated[
        Path,
        typer.Argument(
            help="A receipt, or what `artstore put --json` printed; - reads standard input."
        ),
    ],
    *,
    jwks: Annotated[
        Path | None,
        typer.Option(
            help="The archive's published keys, from `artstore receipt keys`: then nothing is "
            "asked. Without it they are fetched.",
            exists=True,
            dir_okay=False,
        ),
    ] = None,
    document: Annotated[
        Path | None,
        typer.Option(help="Is this the document that was deposited?", exists=True, dir_okay=False),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Check receipts: has the archive signed them, and is DOCUMENT what it received?

    Exit code 0 when all of it is true, 1 when anything is not.
    """
    from artstore.cli.receipt_check import check_receipts

    if not check_receipts(receipts, jwks, document, as_json=as_json):
        raise typer.Exit(1)


@commands.command()
def get(
    file_id: Annotated[str, typer.Argument(help="As put, ls or search print it.")],
    as_json: JsonOption = False,
) -> None:
    """Print the receipt of a deposit once more, signed now."""
    from artstore.cli.output import print_json, print_line
    from artstore.client.store import ArtStore

    with ArtStore.from_home() as store:
        receipt = store.receipt(file_id)
    if as_json:
        print_json({"file_id": file_id, "receipt": receipt})
    else:
        print_line(receipt)


@commands.command()
def keys() -> None:
    """Print the published keys as a JSON Web Key Set. Keep it, and receipts are checked offline."""
    from artstore.client.store import ArtStore

    with ArtStore.from_home() as store:
        typer.echo(store.receipt_keys())
