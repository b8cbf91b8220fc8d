"""`artstore proof`: a document with everything that proves it."""

from pathlib import Path
from typing import Annotated

import typer

from artstore.cli.options import JsonOption


def register(app: typer.Typer) -> None:
    app.command()(proof)


def proof(
    file_id: Annotated[str, typer.Argument(help="As put, ls or search print it.")],
    output: Annotated[
        Path, typer.Option("--output", "-o", help="A zip, which is replaced.", dir_okay=False)
    ],
    *,
    receipt: Annotated[
        Path | None,
        typer.Option(
            help="A file with the deposit receipt that you kept; else the archive gives one now.",
            exists=True,
            dir_okay=False,
        ),
    ] = None,
    wait: Annotated[
        float, typer.Option(min=0, help="Seconds to wait for the log and its witnesses.")
    ] = 90,
    as_json: JsonOption = False,
) -> None:
    """Write a proof bundle: the document, its history, and what proves both to a stranger."""
    from artstore.cli.get_file import DownloadTally
    from artstore.cli.output import print_json, print_line
    from artstore.cli.progress import meter
    from artstore.client.store import ArtStore

    kept = receipt.read_text("ascii", "replace") if receipt is not None else None
    with ArtStore.from_home() as store, meter("fetching") as bars:
        made = store.audit.bundle(
            file_id, output, receipt=kept, wait_s=wait, progress=DownloadTally(bars)
        )
    state = made.state
    if as_json:
        print_json(
            {
                "file_id": made.file_id,
                "path": str(made.path),
                "events": made.events,
                "receipt": made.has_receipt,
                "size": state.checkpoint.size,
                "witnesses": sorted(state.witnesses),
            }
        )
    else:
        print_line(str(made.path))
