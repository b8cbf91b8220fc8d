"""Keeps what `artstore login` found out, and forgets it."""

from pathlib import Path

from artstore.client.people import SignIn, keep_session
from artstore.client.settings import LOGIN_NAME, Profile, ProfileFile, login_folder
from artstore.core.private_files import private_folder, write_private

CA_NAME = "login-ca.crt"
SECRET_NAME = "login-secret"  # noqa: S105  a file's name, not a secret
SESSION_NAME = "login-session.json"


def save_profile(profile: Profile) -> Path:
    """Of an account. Written so that only its owner can read it. Returns the file's path."""
    folder = private_folder_for_login()
    write_private(folder / SECRET_NAME, profile.client_secret + "\n")
    (folder / SESSION_NAME).unlink(missing_ok=True)
    return _save(folder, profile, client_secret_file=Path(SECRET_NAME))


def save_person(profile: Profile, signed_in: SignIn) -> Path:
    """Of a person; the session is kept beside it."""
    folder = private_folder_for_login()
    keep_session(folder / SESSION_NAME, signed_in)
    (folder / SECRET_NAME).unlink(missing_ok=True)
    return _save(folder, profile, session_file=Path(SESSION_NAME))


def forget_login() -> bool:
    """Whether there was one to forget. What `artstore up` wrote stays."""
    folder = login_folder()
    was_there = (folder / LOGIN_NAME).exists()
    for name in (LOGIN_NAME, SECRET_NAME, SESSION_NAME, CA_NAME):
        (folder / name).unlink(missing_ok=True)
    (folder / SESSION_NAME).with_suffix(".lock").unlink(missing_ok=True)
    return was_there


def private_folder_for_login() -> Path:
    folder = login_folder()
    private_folder(folder)
    return folder


def _save(folder: Path, profile: Profile, **kept: Path) -> Path:
    if profile.ca_file is not None:
        # A copy: the original may lie on a removable disk.
        write_private(folder / CA_NAME, profile.ca_file.read_bytes())
    content = ProfileFile(
        edge=profile.edge_url,
        ca_file=Path(CA_NAME) if profile.ca_file is not None else None,
        client_id=profile.client_id,
        **kept,
    )
    text = content.model_dump_json(indent=2, exclude_none=True) + "\n"
    write_private(folder / LOGIN_NAME, text)
    return folder / LOGIN_NAME
