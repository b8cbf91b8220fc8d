"""The state directory: where everything lies that `artstore up` makes and keeps."""

import fcntl
import hashlib
import json
import os
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

from artstore.core.private_files import PRIVATE_FOLDER, private_folder, write_private
from artstore.local.failures import StackFailure
from artstore.local.process_identity import ProcessIdentity

VARIABLE: Final = "ARTSTORE_HOME"
DEFAULT_NAME: Final = ".artstore"
FORMAT_VERSION: Final = 1
SOCKET_PATH_BYTES_MAX: Final = 107
"""`sun_path` of unix(7), without the zero at its end."""
_LONGEST_SOCKET_NAME: Final = ".s.PGSQL.5432"


class HomeError(StackFailure):
    """The directory cannot be used; the message says why and what to do."""


class AlreadyRunning(HomeError):
    """Another supervisor has this directory."""


@dataclass(frozen=True)
class Home:
    root: Path

    @classmethod
    def at(cls, path: Path) -> "Home":
        return cls(path.expanduser().resolve())

    @property
    def pki(self) -> Path:
        return self.root / "pki"

    @property
    def secrets(self) -> Path:
        return self.root / "secrets"

    @property
    def data(self) -> Path:
        return self.root / "data"

    @property
    def archives(self) -> Path:
        """Of elements in mode `ar`, a directory each; where they are wanted, another medium is
        mounted there."""
        return self.root / "archives"

    @property
    def config(self) -> Path:
        return self.root / "config"

    @property
    def log(self) -> Path:
        return self.root / "log"

    @property
    def run(self) -> Path:
        return self.root / "run"

    @property
    def profile_file(self) -> Path:
        return self.root / "profile.json"

    @property
    def ports_file(self) -> Path:
        return self.config / "ports.json"

    @property
    def status_file(self) -> Path:
        return self.run / "status.json"

    @property
    def pid_file(self) -> Path:
        return self.run / "supervisor.pid"

    @property
    def exists(self) -> bool:
        return self._marker.is_file()

    def create(self) -> None:
        """Make the folders, or tighten them. Touches no folder that is not ours.

        Raises:
            HomeError: Something else lies there, or it belongs to another user.
        """
        self.check_place()
        try:
            private_folder(self.root)
            for folder in (self.pki, self.secrets, self.data, self.config, self.log, self.run):
                private_folder(folder)
        except OSError as error:
            raise HomeError(
                f"{self.root} cannot be used ({error.strerror}). Choose another: --home DIR"
            ) from error
        if not self.exists:
            write_private(self._marker, json.dumps({"format_version": FORMAT_VERSION}) + "\n")
        self._check_version()

    def check_place(self) -> None:
        """
        Raises:
            HomeError: Something else lies there, or it belongs to another user.
        """
        if not self.root.exists():
            return
        if not self.root.is_dir():
            raise HomeError(f"{self.root} is not a directory. Choose another: --home DIR")
        if self.root.stat().st_uid != os.geteuid():
            raise HomeError(
                f"{self.root} belongs to another user. Run as that user, or choose another "
                f"directory: --home DIR"
            )
        if not self.exists and any(self.root.iterdir()):
            raise HomeError(
                f"{self.root} holds something else. Choose an empty directory: --home DIR"
            )

    def sockets(self) -> Path:
        """The folder for UNIX sockets: ours where its path is short enough, else a private
        one under the temporary directory. Recorded, so that all processes use the same."""
        record = self.run / "sockets.path"
        folder = self.run / "sockets"
        if len(os.fsencode(folder / _LONGEST_SOCKET_NAME)) > SOCKET_PATH_BYTES_MAX:
            folder = Path(record.read_text()) if record.exists() else self._short_folder()
            _check_private(folder)
        private_folder(folder)
        write_private(record, str(folder))
        return folder

    def supervisor(self) -> ProcessIdentity | None:
        """The supervisor that runs here now, `None` without one."""
        try:
            identity = ProcessIdentity(**json.loads(self.pid_file.read_text()))
        except (FileNotFoundError, ValueError, TypeError):
            # Torn by a power cut, it can only name a process that is gone.
            return None
        return identity if identity.is_alive() else None

    @contextmanager
    def only_one(self, name: str, what: str = "ArtStore") -> Iterator[None]:
        """One process at a time. The kernel lets go of the lock however we end.

        Raises:
            AlreadyRunning: Another one has it.
        """
        with (self.run / f"{name}.lock").open("w") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise AlreadyRunning(f"{what} is already running in {self.root}") from None
            yield

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Only one supervisor at a time. A pid file that is left over means nothing.

        Raises:
            AlreadyRunning: Another one has it.
        """
        with self.only_one("supervisor"):
            own = ProcessIdentity.of(os.getpid())
            assert own is not None
            write_private(self.pid_file, json.dumps(asdict(own)))
            try:
                yield
            finally:
                self.pid_file.unlink()

    @property
    def _marker(self) -> Path:
        return self.root / "home.json"

    def _check_version(self) -> None:
        version = json.loads(self._marker.read_text())["format_version"]
        if version != FORMAT_VERSION:
            raise HomeError(
                f"{self.root} was written by another version of ArtStore (format {version}, "
                f"this one knows {FORMAT_VERSION}). Install that version, or a newer one."
            )

    def _short_folder(self) -> Path:
        name = hashlib.sha256(os.fsencode(self.root)).hexdigest()[:12]
        folder = Path(tempfile.gettempdir()) / f"artstore-{os.geteuid()}-{name}"
        if len(os.fsencode(folder / _LONGEST_SOCKET_NAME)) > SOCKET_PATH_BYTES_MAX:
            raise HomeError("the temporary directory's path is too long for sockets; set TMPDIR")
        return folder


def choose_home(option: Path | None) -> Home:
    """What was asked for, or `$ARTSTORE_HOME`, or `.artstore` here."""
    return Home.at(option or Path(os.environ.get(VARIABLE) or DEFAULT_NAME))


def find_home(option: Path | None) -> Home:
    """As `choose_home`, but `.artstore` may also lie further up."""
    if option is None and not os.environ.get(VARIABLE):
        here = Path.cwd()
        for folder in (here, *here.parents):
            home = Home.at(folder / DEFAULT_NAME)
            if home.exists:
                return home
    return choose_home(option)


def _check_private(folder: Path) -> None:
    """Others can write where temporary files lie: take only a folder that is surely ours."""
    try:
        folder.mkdir(mode=PRIVATE_FOLDER)
    except FileExistsError:
        facts = folder.lstat()
        private = stat.S_ISDIR(facts.st_mode) and facts.st_uid == os.geteuid()
        if not private or facts.st_mode & 0o022:
            raise HomeError(f"{folder} is not ours. Remove it, or set TMPDIR.") from None
