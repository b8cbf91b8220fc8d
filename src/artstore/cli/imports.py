"""`artstore import`: from elsewhere, with a report that proves each file."""

from pathlib import Path
from typing import Annotated

import typer

from artstore.cli.options import JsonOption

commands = typer.Typer(no_args_is_help=True, rich_markup_mode=None)

ReportOption = Annotated[
    Path,
    typer.Option(
        help="A folder for report.jsonl and summary.csv; the same one again to go on.",
        file_okay=False,
    ),
]
DryRunOption = Annotated[
    bool, typer.Option("--dry-run", help="Say what would be imported, and send nothing.")
]
JobsOption = Annotated[int, typer.Option("--jobs", "-j", min=1, max=256, help="Files at a time.")]


def register(app: typer.Typer) -> None:
    app.add_typer(commands, name="import", help="From elsewhere, with proof.")


@commands.command()
def tree(
    folder: Annotated[Path, typer.Argument(exists=True, file_okay=False)],
    *,
    csv: Annotated[
        Path,
        typer.Option(
            help="Columns: path (within FOLDER), and if wanted filename, collection, tags "
            "(with ; between), retention, metadata.ANY.",
            exists=True,
            dir_okay=False,
        ),
    ],
    report: ReportOption,
    dry_run: DryRunOption = False,
    jobs: JobsOption = 8,
    as_json: JsonOption = False,
) -> None:
    """Import what a list in CSV names of a folder.

    For each file the sha256 of the source is compared with that of what is stored. After an
    interruption give the same command again: nothing is imported twice. Exit code 0 when all
    is imported, 1 when anything failed, 2 for wrong usage.
    """
    from artstore.cli.import_run import run_import
    from artstore.cli.import_tree import listed

    items = listed(folder, csv)
    if not run_import(items, report, jobs, dry_run=dry_run, as_json=as_json):
        raise typer.Exit(1)
