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


@commands.command()
def bucket(
    url: Annotated[str, typer.Argument(help="s3://BUCKET or s3://BUCKET/FOLDER")],
    *,
    report: ReportOption,
    endpoint: Annotated[
        str | None, typer.Option(help="Of a store other than AWS: https://HOST:PORT")
    ] = None,
    region: Annotated[str, typer.Option()] = "us-east-1",
    collection: Annotated[str | None, typer.Option(help="Where they belong.")] = None,
    tag: Annotated[list[str] | None, typer.Option(help="May be given many times.")] = None,
    meta: Annotated[
        list[str] | None, typer.Option(help="KEY=VALUE; may be given many times.")
    ] = None,
    retention: Annotated[
        str | None, typer.Option(help="none, permanent, 2036-11-22 or P10Y (ten years).")
    ] = None,
    dry_run: DryRunOption = False,
    jobs: JobsOption = 8,
    as_json: JsonOption = False,
) -> None:
    """Import what lies in a bucket of an S3 store; credentials as in AWS_ACCESS_KEY_ID and so on.

    Size and sha256 of what was read are compared with what is stored, and the ETag where it is
    an MD5. After an interruption give the same command again. Exit codes as of `tree`.
    """
    from artstore.cli.import_bucket import Bucket
    from artstore.cli.import_run import run_import
    from artstore.cli.values import key_values
    from artstore.client.uploads import Details

    details = Details(None, collection, tag or (), key_values(meta or []), retention)
    if "path" in details.metadata:
        raise typer.BadParameter("path is the key of each object", param_hint="--meta")
    items = Bucket(url, endpoint, region).objects(details)
    if not run_import(items, report, jobs, dry_run=dry_run, as_json=as_json):
        raise typer.Exit(1)
