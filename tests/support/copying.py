"""Asking an element for copies, and looking at what it has."""

import hashlib
from collections.abc import Collection
from pathlib import Path
from typing import Any

import aiohttp
import orjson
from tests.support.storage_process import StorageProcess

from artstore.core.model.ids import FileId
from artstore.storage.engine.layout import Layout


async def ask_for_copies(
    http: aiohttp.ClientSession,
    target: StorageProcess,
    source_url: str,
    files: list[FileId],
    purpose: str = "copy",
) -> list[dict[str, Any]]:
    wanted = {"source_url": source_url, "files": files, "purpose": purpose}
    async with http.post(target.url("/copies"), json=wanted) as answer:
        assert answer.status == 200, await answer.text()
        return [orjson.loads(line) for line in (await answer.read()).splitlines() if line]


def stored_parts(root: Path, file_id: FileId) -> dict[str, str]:
    """The files that make up a stored file, and the digest of each."""
    directory = Path(Layout(str(root)).directory(file_id))
    return {
        path.name: hashlib.sha256(path.read_bytes()).hexdigest()
        for path in directory.glob(f"{file_id}*")
    }


def staged(root: Path, files: Collection[FileId]) -> list[str]:
    """What is left in tmp/ of these files. (A stored one stays there until a checkpoint.)"""
    names = [path.name for path in (root / "tmp").iterdir()]
    return [name for name in names if name.startswith(tuple(files))]
