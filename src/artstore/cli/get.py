"""`artstore get`: the content of a file."""

from pathlib import Path
from typing import Annotated

import typer

from artstore.cli.options import JsonOption

STDOUT = Path("-")


def register(app: typer.Typer) -> None:
    app.command()(get)


def get(
    file_id: Annotated[str, typer.Argument(help="As put, ls or search print it.")],
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            help="A file, which is replaced; a folder; - for standard output. Default: the "
            "file's own name in the current folder, if that is free.",
        ),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Bring a file back and check it. Goes on with a download that was interrupted."""
    from artstore.cli.get_file import get_to_folder, get_to_path, get_to_stdout

    if output == STDOUT:
        if as_json:
            raise typer.BadParameter("standard output is taken by the file", param_hint="--json")
        get_to_stdout(file_id)
    elif output is None or output.is_dir():
        get_to_folder(file_id, output or Path(), as_json=as_json)
    else:
        get_to_path(file_id, output, as_json=as_json)
