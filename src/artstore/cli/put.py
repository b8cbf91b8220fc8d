"""`artstore put`: files, trees and standard input."""

import re
from pathlib import Path
from typing import Annotated

import typer

from artstore.cli.options import JsonOption

STDIN = Path("-")
JOBS_DEFAULT = 16


def _path(text: str) -> Path:
    if not text:
        # A variable that is not set, in a script: not the folder where it happens to run.
        raise typer.BadParameter("a path is empty")
    return Path(text)


def register(app: typer.Typer) -> None:
    app.command()(put)


def put(
    paths: Annotated[
        list[Path],
        typer.Argument(
            help="Files and folders; - reads standard input.", parser=_path, metavar="PATHS"
        ),
    ],
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
    include: Annotated[
        list[str] | None,
        typer.Option(help="Only what matches: '*.pdf', 'letters/**'; may be given many times."),
    ] = None,
    exclude: Annotated[
        list[str] | None,
        typer.Option(help="Not what matches, nor what lies below; may be given many times."),
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what would be stored, and send nothing.")
    ] = False,
    again: Annotated[
        bool, typer.Option("--again", help="Forget what earlier runs stored, and store it all.")
    ] = False,
    checksum: Annotated[
        bool,
        typer.Option("--checksum", help="Skip what the collection holds, by content."),
    ] = False,
    jobs: Annotated[
        int, typer.Option("--jobs", "-j", min=1, max=256, help="Uploads at a time.")
    ] = JOBS_DEFAULT,
    as_json: JsonOption = False,
) -> None:
    """Store files. A folder is stored with everything below it.

    Prints the id of each file. Symbolic links inside folders are not followed. After an
    interruption, or when files were added, give the same command again: what is stored and
    unchanged is skipped. A pattern with a slash means a path within the folder, one without
    any name in it.

    Exit codes: 0 all is stored, 1 something failed, 2 wrong usage.
    """
    from artstore.cli.put_files import Wanted, put_paths, put_stdin
    from artstore.cli.selection import Selection
    from artstore.cli.values import key_values
    from artstore.client.uploads import Details

    details = Details(name, collection, tag or (), key_values(meta or []), retention, content_type)
    try:
        selection = Selection.of(include or (), exclude or ())
    except re.error:
        raise typer.BadParameter("not a pattern", param_hint="--include, --exclude") from None
    if STDIN in paths:
        if dry_run or checksum or include or exclude:
            raise typer.BadParameter("these options are for files", param_hint="-")
        if len(paths) > 1 or name is None:
            raise typer.BadParameter("- stands alone and needs --name", param_hint="PATHS")
        succeeded = put_stdin(details, as_json=as_json)
    else:
        if name is not None and (len(paths) > 1 or paths[0].is_dir()):
            raise typer.BadParameter("a name can be given to one file only", param_hint="--name")
        if "path" in details.metadata and any(path.is_dir() for path in paths):
            raise typer.BadParameter("path is the one within the folder", param_hint="--meta")
        wanted = Wanted(paths, details, jobs, selection, dry_run, again, checksum)
        succeeded = put_paths(wanted, as_json=as_json)
    if not succeeded:
        raise typer.Exit(1)
