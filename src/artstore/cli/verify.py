"""`artstore verify`: checks an element's directory with nothing but its files."""

import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from artstore.cli.options import JsonOption

if TYPE_CHECKING:
    from artstore.cli.trees import Found
    from artstore.storage.engine.scrub.findings import Finding
    from artstore.storage.engine.scrub.survey import Survey

_FROM_A_COPY: Final = (
    "If its collection keeps a second copy, the element's scrub has it repaired; otherwise"
    " bring the file back from a backup."
)
ADVICE: Final = {
    "damaged": _FROM_A_COPY,
    "missing_content": _FROM_A_COPY,
    "attr_damaged": _FROM_A_COPY,
    "wrong_attr": _FROM_A_COPY,
    "unreadable": "Look at the disk and at who may read the file, then check again.",
    "surplus": "Nothing refers to it. Look at it, and remove it by hand if nobody needs it.",
    "log_damaged": (
        "Bring this file back from a backup, and do not restart the element before: with a"
        " damaged log it would not start."
    ),
    "element_damaged": "Bring it back from a backup; without it the element does not start.",
}


def register(app: typer.Typer) -> None:
    app.command("verify")(verify)


def verify(
    directory: Annotated[
        Path, typer.Argument(help="The element's directory, or a copy.", metavar="DIR")
    ],
    log_only: Annotated[
        bool,
        typer.Option(
            "--log-only", help="The files lie in an object store: check log and element.json."
        ),
    ] = False,
    archive: Annotated[
        Path | None,
        typer.Option(
            help="Where its contents went in mode ar; without it, they are not looked at."
        ),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Check a storage element's directory: every record, every byte, the log.

    Needs no service and changes nothing; the element may be running. Exit code 1: something
    is not as it was stored.
    """
    from artstore.cli.output import print_json, say
    from artstore.cli.progress import counted_meter
    from artstore.storage.engine.fs import LocalFs
    from artstore.storage.engine.scrub.survey import Survey

    if not (directory / "data").is_dir() or not (directory / "log").is_dir():
        say(f"artstore: {directory} is not the directory of a storage element: no data/ and log/")
        raise typer.Exit(1)
    if archive is not None and not (archive / "archive.json").is_file():
        say(f"artstore: {archive} is not the archive of a storage element: no archive.json")
        raise typer.Exit(1)
    with counted_meter("verifying", lambda: _expected(directory)) as bars:
        survey = Survey(
            LocalFs(),
            str(directory.resolve()),
            bars,
            time.sleep,
            archive=str(archive.resolve()) if archive is not None else None,
            is_log_only=log_only,
        )
        defects = 0
        for finding in survey.findings():
            defects += 1
            _show(finding, as_json=as_json)
    summary = _summary(survey, defects)
    if as_json:
        print_json(summary)
    else:
        _conclude(directory, summary)
    if defects:
        raise typer.Exit(1)


def _expected(directory: Path) -> "Iterator[Found]":
    from artstore.cli.trees import walk

    return walk([directory / "data"])


def _show(finding: "Finding", *, as_json: bool) -> None:
    from artstore.cli.output import print_json, print_line

    advice = ADVICE[finding.kind.value]
    if as_json:
        print_json({**finding.detail(), "advice": advice})
    else:
        print_line(f"{finding.path}: {finding.kind.value}: {finding.cause}. {advice}")


def _summary(survey: "Survey", defects: int) -> dict[str, Any]:
    element = survey.element
    return {
        "element_id": element.element_id if element is not None else None,
        "whole": defects == 0,
        "defects": defects,
        "files": survey.tally.files,
        "read_bytes": survey.tally.read_bytes,
        "log_bytes": survey.tally.log_bytes,
        "in_log_only": survey.tally.log_only,
    }


def _conclude(directory: Path, summary: dict[str, Any]) -> None:
    from artstore.cli.output import print_line, size_text

    name = summary["element_id"] or "unknown, its log was not checked"
    looked = f"{summary['files']} files, {size_text(summary['read_bytes'])}"
    if summary["in_log_only"]:
        count = summary["in_log_only"]
        print_line(
            f"{count} files are so far only in the log; the element's next start puts them in"
            " their place, and they were not judged."
        )
    verdict = "whole" if summary["whole"] else f"NOT WHOLE, {summary['defects']} defects"
    print_line(f"{directory}: {verdict} (element {name}; {looked})")
