"""`artstore put`: files, trees and standard input."""

from pathlib import Path
from typing import Annotated

import typer

from artstore.cli.options import JsonOption

STDIN = Path("-")
JOBS_DEFAULT = 16


def register(app: typer.Typer) -> None:
    app.command()(put)


def put(
    paths: Annotated[list[Path], typer.Argument(help="Files and folders; - reads standard input.")],
    *,
    collection: Annotated[str | None, typer.Option(help="Where they belong.")] = None,
    tag: Annotated[list[str] | None, typer.Option(help="May be given many times.")] = None,
    meta: Annotated[
        list[str] | None, typer.Option(help="KEY=VALUE; may be given many times.")
    ] = None,
    retention: Annotated[
        str | None, typer.Option(help="none, permanent, 2036-11-22 or P10Y (ten years).")
    ] = None,
    content_type: Annotated[
        str | None, typer.Option(help="Default: guessed from each name.")
    ] = None,
    name: Annotated[
        str | None, typer.Option(help="Name of a single file; needed for standard input.")
    ] = None,
    jobs: Annotated[
        int, typer.Option("--jobs", "-j", min=1, max=256, help="Uploads at a time.")
    ] = JOBS_DEFAULT,
    as_json: JsonOption = False,
) -> None:
    """Store files. A folder is stored with everything below it.

    Prints the id of each file. Symbolic links inside folders are not followed.
    """
    from artstore.cli.put_files import put_paths, put_stdin
    from artstore.cli.values import key_values
    from artstore.client.uploads import Details

    details = Details(name, collection, tag or (), key_values(meta or []), retention, content_type)
    if STDIN in paths:
        if len(paths) > 1 or name is None:
            raise typer.BadParameter("- stands alone and needs --name", param_hint="PATHS")
        succeeded = put_stdin(details, as_json=as_json)
    else:
        if name is not None and (len(paths) > 1 or paths[0].is_dir()):
            raise typer.BadParameter("a name can be given to one file only", param_hint="--name")
        succeeded = put_paths(paths, details, jobs, as_json=as_json)
    if not succeeded:
        raise typer.Exit(1)
