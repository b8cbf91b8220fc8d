"""Brings one file back, under a name that is safe to give it."""

import asyncio
import sys
import unicodedata
from pathlib import Path
from typing import BinaryIO, Final

from artstore.cli.output import print_json, print_line
from artstore.cli.progress import Tally, meter
from artstore.client.async_store import AsyncArtStore
from artstore.client.results import Download

NAME_BYTES_MAX: Final = 255
"""Of one name on Linux file systems."""

SUFFIX_BYTES_MAX: Final = 32


def get_to_stdout(file_id: str) -> None:
    asyncio.run(_get(file_id, sys.stdout.buffer, overwrite=True))


def get_to_path(file_id: str, path: Path, *, as_json: bool) -> None:
    _tell(asyncio.run(_get(file_id, path, overwrite=True)), as_json=as_json)


def get_to_folder(file_id: str, folder: Path, *, as_json: bool) -> None:
    """Under the name it was stored with; never replaces a file."""
    _tell(asyncio.run(_get(file_id, folder, overwrite=False)), as_json=as_json)


async def _get(file_id: str, destination: Path | BinaryIO, *, overwrite: bool) -> Download:
    async with AsyncArtStore.from_home() as store:
        if isinstance(destination, Path) and not overwrite:
            record = await store.info(file_id)
            destination /= safe_name(record.original_filename, file_id)
        with meter("fetching") as bars:
            progress = DownloadTally(bars)
            return await store.get(file_id, destination, overwrite=overwrite, progress=progress)


class DownloadTally(Tally):
    """The total of a download is known as soon as the first bytes arrive."""

    def __call__(self, done_bytes: int, total_bytes: int | None) -> None:
        self._meter.expect(1, total_bytes)
        super().__call__(done_bytes, total_bytes)


def _tell(download: Download, *, as_json: bool) -> None:
    if as_json:
        print_json(
            {
                "file_id": download.file_id,
                "path": str(download.path),
                "size": download.size,
                "sha256": download.sha256,
            }
        )
    else:
        print_line(str(download.path))


def safe_name(name: str, file_id: str) -> str:
    """A plain name for the current folder, made of one that may hold anything.

    Separators, control and direction marks become `_`; the name is never hidden, never an
    option, and never longer than a file system takes. The id is its stand-in.
    """
    clean = "".join("_" if _is_unsafe(char) else char for char in name).strip()
    if clean[:1] in (".", "-"):
        clean = "_" + clean[1:]
    if not clean.strip("_."):
        return file_id
    return _shortened(clean)


def _is_unsafe(char: str) -> bool:
    # Cc: controls; Cf: formats, also those that reverse the direction; Cs: lone surrogates.
    return char in "/\\" or unicodedata.category(char) in ("Cc", "Cf", "Cs", "Zl", "Zp")


def _shortened(name: str) -> str:
    if len(name.encode()) <= NAME_BYTES_MAX:
        return name
    stem, dot, suffix = name.rpartition(".")
    ending = f".{suffix}" if dot and len(suffix.encode()) < SUFFIX_BYTES_MAX else ""
    kept = (stem if ending else name).encode()[: NAME_BYTES_MAX - len(ending.encode())]
    return kept.decode("utf-8", "ignore") + ending
