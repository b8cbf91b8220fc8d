"""The `artstore` command. Commands import what they need when they run: help is instant."""

import io
import sys
from typing import Annotated

import typer

from artstore import __version__
from artstore.cli import (
    accounts,
    audit,
    bench,
    catalogue,
    collections,
    elements,
    get,
    identity,
    imports,
    jobs,
    keys,
    monitor,
    pki,
    proof,
    put,
    quotas,
    receipt,
    records,
    restore,
    rotate,
    stack,
    verify,
    witness,
)
from artstore.cli.output import StdoutLost
from artstore.core.errors import ArtStoreError, FileArchived

INTERRUPTED = 130

app = typer.Typer(
    name="artstore",
    help="Keep documents for decades, prove them unchanged and find them again.",
    no_args_is_help=True,
    # Rich help takes three times as long to appear, and a traceback is for a bug report.
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)


def _print_version(wanted: bool) -> None:
    if wanted:
        print(f"artstore {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool,
        typer.Option(
            "--version", help="Print the version.", callback=_print_version, is_eager=True
        ),
    ] = False,
) -> None:
    """Keep documents for decades, prove them unchanged and find them again."""


for part in (
    stack,
    monitor,
    put,
    get,
    records,
    restore,
    identity,
    catalogue,
    accounts,
    keys,
    rotate,
    pki,
    elements,
    collections,
    quotas,
    jobs,
    audit,
    proof,
    receipt,
    verify,
    witness,
    bench,
    imports,
):
    part.register(app)


def main() -> None:
    """Exit codes: 0 done, 1 failed, 2 wrong usage, 130 interrupted, 141 nobody reads on."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        # A terminal without Cyrillic, as of LC_ALL=C, gets escapes and no traceback.
        sys.stdout.reconfigure(errors="backslashreplace")
    try:
        app()
    except SystemExit as end:
        if end.code == INTERRUPTED:
            print("interrupted", file=sys.stderr)
        raise
    except StdoutLost as lost:
        if lost.text:
            print(f"artstore: {lost.text}", file=sys.stderr)
        sys.exit(lost.exit_code)
    except Exception as failure:
        text = _expected(failure)
        if text is None:
            raise
        print(f"artstore: {text}", file=sys.stderr)
        sys.exit(1)


def _expected(failure: Exception) -> str | None:
    """What to tell of a failure that is nobody's bug."""
    from artstore.cli.output import error_text, printable
    from artstore.client.settings import ProfileError

    match failure:
        case ProfileError():
            return printable(str(failure))
        case ArtStoreError() if failure.fields.get("unreachable"):
            return f"{printable(failure.detail)}\nIs it running? See: artstore status"
        case FileArchived():
            file_id = str(failure.fields.get("restore", "")).removesuffix("/restore")[-36:]
            next_step = f"Have it brought: artstore restore {file_id or 'ID'} --wait"
            return f"{printable(error_text(failure))}\n{printable(next_step)}"
        case ArtStoreError() | OSError():
            return printable(error_text(failure))
    return None


if __name__ == "__main__":
    main()
