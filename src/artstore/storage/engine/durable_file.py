"""Small JSON files that are replaced whole, and durable on return."""

from artstore.storage.engine.fs import Fs, write_all


def replace_file(fs: Fs, path: str, data: bytes) -> None:
    """After an `OSError` or a crash the old or the new one is there, whole."""
    neighbour = f"{path}.new"
    if fs.exists(neighbour):
        fs.unlink(neighbour)
    handle = fs.create(neighbour)
    try:
        write_all(fs, handle, data, 0)
        fs.flush(handle)
    finally:
        fs.close(handle)
    fs.rename(neighbour, path)
    fs.flush_directory(path.rpartition("/")[0])
