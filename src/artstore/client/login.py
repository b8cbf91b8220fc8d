"""Keeps a profile in the user's configuration directory."""

import os
import tempfile
from pathlib import Path

from artstore.client.settings import PROFILE_NAME, Profile, ProfileFile, user_profile_folder

CA_NAME = "ca.crt"
SECRET_NAME = "client-secret"  # noqa: S105  a file's name, not a secret


def save_profile(profile: Profile) -> Path:
    """Written so that only its owner can read it. Returns the file's path."""
    folder = user_profile_folder()
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    folder.chmod(0o700)
    _write(folder / SECRET_NAME, profile.client_secret.encode() + b"\n")
    if profile.ca_file is not None:
        # A copy: the original may lie on a removable disk.
        _write(folder / CA_NAME, profile.ca_file.read_bytes())
    content = ProfileFile(
        edge=profile.edge_url,
        ca_file=Path(CA_NAME) if profile.ca_file is not None else None,
        client_id=profile.client_id,
        client_secret_file=Path(SECRET_NAME),
    )
    _write(folder / PROFILE_NAME, content.model_dump_json(indent=2).encode() + b"\n")
    return folder / PROFILE_NAME


def _write(path: Path, content: bytes) -> None:
    """Replaces the file as a whole; the temporary neighbour is private from the start."""
    with tempfile.NamedTemporaryFile(dir=path.parent, prefix=".new-", delete=False) as file:
        try:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
            Path(file.name).replace(path)
        except OSError:
            Path(file.name).unlink(missing_ok=True)
            raise
