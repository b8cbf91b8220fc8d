"""`artstore bench`: how fast an installation is, measured from here."""

from typing import Annotated

import typer

from artstore.cli.options import JsonOption

SIZE_BYTES_MAX = 64 << 20
"""The files of all uploads under way lie in memory."""

commands = typer.Typer(no_args_is_help=True, rich_markup_mode=None)


def register(app: typer.Typer) -> None:
    app.add_typer(commands, name="bench", help="How fast this installation is.")


@commands.command()
def ingest(
    *,
    files: Annotated[int, typer.Option(min=1, max=1_000_000, help="How many.")] = 1000,
    size: Annotated[str, typer.Option(help="Of each: 4KiB, 1MB; at most 64MiB.")] = "4KiB",
    jobs: Annotated[int, typer.Option("--jobs", "-j", min=1, max=256)] = 16,
    collection: Annotated[str, typer.Option(help="Where they go meanwhile.")] = "bench",
    as_json: JsonOption = False,
) -> None:
    """Store generated files, say how fast that went, and delete them again.

    They pass everything that other files do: their tombstones and audit entries stay.
    """
    from artstore.cli.bench_ingest import Load, bench
    from artstore.cli.values import limit

    size_bytes = limit(size, "--size")
    if size_bytes is None or size_bytes > SIZE_BYTES_MAX:
        raise typer.BadParameter("at most 64MiB", param_hint="--size")
    if not bench(Load(files, size_bytes, jobs, collection), as_json=as_json):
        raise typer.Exit(1)
