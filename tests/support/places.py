"""Where an element keeps files on its disk."""

from pathlib import Path

from tests.support.processes import wait_until


def in_place(folder: Path, file_id: str) -> Path:
    """The attr.json of an acknowledged file, behind which its content lies. A small one may still
    be on its way from the log to its place."""
    found: list[Path] = []

    def is_whole() -> bool:
        found[:] = folder.rglob(f"{file_id}.attr.json")
        return any(path.read_bytes().endswith(b"\n") for path in found)

    wait_until(is_whole, f"{file_id} coming to its place")
    return found[0]
