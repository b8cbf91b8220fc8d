"""Files and folders that only their owner may read, replaced in one step and durable."""

import os
from collections.abc import Mapping
from pathlib import Path
from secrets import token_hex
from typing import Final

PRIVATE_FILE: Final = 0o600
PRIVATE_FOLDER: Final = 0o700


def write_private(path: Path, content: str | bytes) -> None:
    """Replace a file in one step; only its owner may read it, from the first moment on.

    Durable on return: these files hold keys that nothing can make again.
    """
    write_private_together({path: content})


def write_private_together(contents: Mapping[Path, str | bytes]) -> None:
    """The same for files of one folder that belong together.

    A volume that is full fails this before the first of them is replaced. A crash may come
    between two replacements; who reads them has to notice.
    """
    neighbours = {path: path.with_name(f".{path.name}.{token_hex(4)}") for path in contents}
    try:
        for path, content in contents.items():
            _write_new(neighbours[path], content.encode() if isinstance(content, str) else content)
        for path, neighbour in neighbours.items():
            neighbour.replace(path)
    except OSError:
        for neighbour in neighbours.values():
            neighbour.unlink(missing_ok=True)
        raise
    flush_folder(next(iter(contents)).parent)


def _write_new(path: Path, data: bytes) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, PRIVATE_FILE)
    with os.fdopen(descriptor, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def flush_folder(folder: Path) -> None:
    """Make the names in a folder durable: fsync(2) of a file does not cover its name."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def private_folder(path: Path) -> Path:
    """Make a folder, or tighten one, so that only its owner may enter."""
    path.mkdir(mode=PRIVATE_FOLDER, parents=True, exist_ok=True)
    path.chmod(PRIVATE_FOLDER)
    return path
