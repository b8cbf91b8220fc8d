"""Which ArtStore to talk to, and as whom: the profile.

`artstore up` writes one into its state directory (`profile.json`). `artstore login` writes one
beside it, or into the user's configuration directory where there is no state directory
(`login.json`), which counts first. Paths in them are relative to their folder.
"""

import os
import stat
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Self

from pydantic import BaseModel, StringConstraints, ValidationError, model_validator

HOME_NAME = ".artstore"
PROFILE_NAME = "profile.json"
LOGIN_NAME = "login.json"
SECRET_BYTES_MAX = 4096


class ProfileError(Exception):
    """No usable profile. The text says what to do."""


class ProfileFile(BaseModel):
    """The content of a `profile.json` or `login.json`: of an account, or of a person."""

    edge: Annotated[str, StringConstraints(pattern=r"^https?://[^\s/]+/?$")]
    ca_file: Path | None = None
    client_id: str
    """Of a person the user name."""
    client_secret_file: Path | None = None
    session_file: Path | None = None

    @model_validator(mode="after")
    def _is_of_one_kind(self) -> Self:
        if (self.client_secret_file is None) == (self.session_file is None):
            raise ValueError("client_secret_file or session_file")
        return self


@dataclass(frozen=True)
class Profile:
    edge_url: str
    """Scheme, host and port, without a final slash."""
    ca_file: Path | None
    """The only authority that is trusted; `None` for those of the system."""
    client_id: str
    """Of a person the user name."""
    client_secret: str
    """Empty for a person."""
    session_file: Path | None = None
    """Where a person's session is kept (`client.people`)."""

    def __repr__(self) -> str:
        return f"Profile({self.edge_url!r}, client_id={self.client_id!r})"


def load_profile(home: Path | str | None = None) -> Profile:
    """The profile in `home`, or else the first found.

    Looked for in `$ARTSTORE_HOME`; `.artstore` of the current directory and of those above
    it; and the user's configuration directory. A set `$ARTSTORE_HOME` is the only candidate.

    Raises:
        ProfileError: There is none, or it cannot be used.
    """
    homes = [Path(home)] if home is not None else list(_candidate_homes(os.environ, Path.cwd()))
    for folder in homes:
        for path in (folder / LOGIN_NAME, folder / PROFILE_NAME):
            if path.is_file():
                return _read_profile(path)
    if len(homes) == 1:
        raise ProfileError(f"no profile in {homes[0]}: run `artstore up` or `artstore login`")
    raise ProfileError("no profile found: run `artstore up` or `artstore login`")


def login_folder() -> Path:
    """Where `artstore login` keeps the profile: the first place where one is looked for."""
    candidates = list(_candidate_homes(os.environ, Path.cwd()))
    return next((folder for folder in candidates if folder.is_dir()), candidates[-1])


def _candidate_homes(environ: Mapping[str, str], start: Path) -> Iterator[Path]:
    if home := environ.get("ARTSTORE_HOME"):
        yield Path(home)
        return
    for folder in (start, *start.parents):
        yield folder / HOME_NAME
    yield _user_folder(environ)


def _user_folder(environ: Mapping[str, str]) -> Path:
    base = environ.get("XDG_CONFIG_HOME")
    return (Path(base) if base else Path.home() / ".config") / "artstore"


def _read_profile(path: Path) -> Profile:
    try:
        content = ProfileFile.model_validate_json(path.read_bytes())
    except ValidationError as error:
        field = ".".join(str(part) for part in error.errors()[0]["loc"]) or "a member"
        raise ProfileError(f"{path} is not a profile: {field} is missing or wrong") from None
    except OSError as error:
        raise ProfileError(f"{path} cannot be read: {error.strerror}") from None
    return Profile(
        edge_url=content.edge.rstrip("/"),
        ca_file=path.parent / content.ca_file if content.ca_file else None,
        client_id=content.client_id,
        client_secret=_secret(path.parent, content.client_secret_file),
        session_file=path.parent / content.session_file if content.session_file else None,
    )


def _secret(folder: Path, file: Path | None) -> str:
    return read_secret_file(folder / file) if file is not None else ""


def read_secret_file(path: Path) -> str:
    """The stripped text of a file that only its owner may read."""
    try:
        with path.open("rb") as file:
            mode = stat.S_IMODE(os.fstat(file.fileno()).st_mode)
            content = file.read(SECRET_BYTES_MAX)
    except OSError as error:
        raise ProfileError(f"secret file {path} cannot be read: {error.strerror}") from None
    if mode & 0o077:
        raise ProfileError(f"secret file {path} is open to others: run `chmod 600 {path}`")
    secret = content.decode("utf-8", "replace").strip()
    if not secret:
        raise ProfileError(f"secret file {path} is empty")
    return secret
