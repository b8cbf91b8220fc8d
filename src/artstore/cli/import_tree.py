"""What a list in CSV says of the files of a folder."""

import csv
import stat
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Final, TextIO

import typer

from artstore.cli.import_journal import Version
from artstore.cli.import_run import Item, Refused
from artstore.client.bodies import FileBody, SeenFile, open_content
from artstore.client.uploads import Details

METADATA: Final = "metadata."
TAG_SEPARATOR: Final = ";"
_COLUMNS: Final = frozenset({"path", "filename", "collection", "tags", "retention"})


def listed(root: Path, list_file: Path) -> Iterator[Item | Refused]:
    """
    Raises:
        typer.BadParameter: The list has no column `path`, or one that is not known.
    """
    file = list_file.open(encoding="utf-8-sig", newline="")
    reader = csv.DictReader(file, strict=True)
    try:
        with _telling_of(reader):
            _check(reader.fieldnames or ())
    except BaseException:
        file.close()
        raise
    return _items(root.resolve(), file, reader)


def _check(columns: Sequence[str]) -> None:
    unknown = [name for name in columns if name not in _COLUMNS and not name.startswith(METADATA)]
    if unknown:
        known = ", ".join(sorted(_COLUMNS))
        raise typer.BadParameter(
            f"column {unknown[0]!r} is none of {known}, {METADATA}*", param_hint="--csv"
        )
    twice = [name for name in columns if columns.count(name) > 1]
    if twice:
        raise typer.BadParameter(f"column {twice[0]!r} is there twice", param_hint="--csv")
    if "path" not in columns:
        raise typer.BadParameter("the list needs a column `path`", param_hint="--csv")


def _items(root: Path, file: TextIO, reader: "csv.DictReader[str]") -> Iterator[Item | Refused]:
    seen: set[str] = set()
    with file, _telling_of(reader):
        for row in reader:
            yield _row(root, row, reader.line_num, seen)


@contextmanager
def _telling_of(reader: "csv.DictReader[str]") -> Iterator[None]:
    """Failures to read the list are wrong usage."""
    try:
        yield
    except UnicodeDecodeError:
        text = f"after line {reader.line_num}: not UTF-8; save the list in that encoding"
        raise typer.BadParameter(text, param_hint="--csv") from None
    except csv.Error as error:
        text = f"after line {reader.line_num}: {error}"
        raise typer.BadParameter(text, param_hint="--csv") from None


def _row(
    root: Path, row: dict[str | None, str | None], line_number: int, seen: set[str]
) -> Item | Refused:
    path = row["path"] or ""
    # `./a` and `a//b` are `a` and `a/b` once more.
    plain = str(PurePosixPath(path))
    if plain in seen:
        return Refused(path, f"line {line_number} names it once more")
    if None in row:
        return Refused(path, f"line {line_number} has more cells than columns")
    seen.add(plain)
    return _item(root, path, {str(name): value for name, value in row.items()})


def _item(root: Path, path: str, row: Mapping[str, str | None]) -> Item | Refused:
    inner = PurePosixPath(path)
    if not path or inner.is_absolute() or ".." in inner.parts or "\0" in path:
        return Refused(path, "a path is one within the folder")
    whole = root / inner
    try:
        status = whole.lstat()
        if not stat.S_ISREG(status.st_mode):
            return Refused(path, "not a regular file")
        if whole.parent.resolve() != whole.parent:
            return Refused(path, "a symbolic link leads to it")
    except OSError as error:
        return Refused(path, error.strerror or str(error))
    seen = SeenFile(str(whole), status.st_dev, status.st_ino, status.st_mtime_ns)
    version = Version(status.st_size, str(status.st_mtime_ns))
    return Item(path, version, details_of(inner.name, row), partial(_open, seen))


def _open(seen: SeenFile) -> bytes | FileBody:
    content = open_content(seen)
    assert isinstance(content, bytes | FileBody)
    return content


def details_of(name: str, row: Mapping[str, str | None]) -> Details:
    """An empty cell says nothing."""
    tags = (tag.strip() for tag in (row.get("tags") or "").split(TAG_SEPARATOR))
    metadata = {
        column.removeprefix(METADATA): value
        for column, value in row.items()
        if column.startswith(METADATA) and value
    }
    return Details(
        filename=row.get("filename") or name,
        collection=row.get("collection") or None,
        tags=tuple(tag for tag in tags if tag),
        metadata=metadata,
        retention=row.get("retention") or None,
    )
