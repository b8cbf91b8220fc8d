"""As whom a server runs that refuses to run as root.

In order: as ourselves when we are an ordinary account; inside a user namespace, where we
only look like one; as an unprivileged account of this machine, when its data can be
reached by it.
"""

import os
import pwd
import signal
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from artstore.local.failures import StackFailure

_LAUNCHER: Final = Path(__file__).with_name("launch.py")
_ACCOUNTS: Final = ("postgres", "nobody", "daemon")
TRAVERSABLE: Final = 0o711


class NoAccount(StackFailure):
    """Nobody can run the server here; the message says what to do."""


@dataclass(frozen=True)
class Account:
    """Who runs a server. `owner` owns its data where that is not ourselves."""

    launch_arguments: tuple[str, ...] = ()
    owner: tuple[int, int] | None = None

    def own(self, path: Path) -> None:
        if self.owner is not None:
            os.chown(path, *self.owner)

    def take_over(self, folder: Path) -> None:
        """Own all of a folder that an earlier start, as somebody else, left behind: whether
        namespaces are allowed may change from one start to the next."""
        uid, gid = self.owner or (os.geteuid(), os.getegid())
        if not folder.exists() or folder.stat().st_uid == uid:
            return
        for place, _, names in os.walk(folder, topdown=False):
            for path in (*(Path(place, name) for name in names), Path(place)):
                os.chown(path, uid, gid, follow_symlinks=False)

    def open_way_to(self, folders: Sequence[Path]) -> None:
        """Let the owner pass through folders of ours; it still cannot list them."""
        if self.owner is not None:
            for folder in folders:
                folder.chmod(TRAVERSABLE)


OURSELVES: Final = Account()


def launched(
    command: Sequence[str | Path], *, parent_death: signal.Signals, account: Account = OURSELVES
) -> list[str]:
    """The command line that starts `command` as a child which dies with this process."""
    launcher = [sys.executable, "-I", "-S", str(_LAUNCHER), *account.launch_arguments]
    return [*launcher, str(os.getpid()), str(int(parent_death)), *map(str, command)]


def choose_account(program: Path, place: Path) -> Account:
    """Who can run `program` on data in `place`, a folder of ours (which need not exist yet).

    Raises:
        NoAccount: We are root, user namespaces are refused, and no account can reach both.
    """
    label = _ordinary_account()
    if os.geteuid() != 0 and _has_name():
        return OURSELVES
    namespace = Account(("--namespace", str(label.pw_uid), str(label.pw_gid)))
    if _works(namespace):
        return namespace
    return _unprivileged_account(program, place)


def blocking_folder(path: Path, uid: int, gid: int) -> Path | None:
    """The first folder on the way to `path` that the account may not pass; `None`: free."""
    for folder in reversed(path.absolute().parents):
        if not folder.exists():
            return None
        facts = folder.stat()
        if facts.st_uid == uid:
            allowed = facts.st_mode & 0o100
        elif facts.st_gid == gid:
            allowed = facts.st_mode & 0o010
        else:
            allowed = facts.st_mode & 0o001
        if not allowed:
            return folder
    return None


def unprivileged(entry: pwd.struct_passwd) -> Account:
    owner = (entry.pw_uid, entry.pw_gid)
    return Account(("--account", str(owner[0]), str(owner[1])), owner)


def _unprivileged_account(program: Path, place: Path) -> Account:
    if os.geteuid() != 0:
        raise NoAccount(
            "this user id has no entry in /etc/passwd, and PostgreSQL needs one. "
            "Add an entry for it, or run as a user that has one."
        )
    entry = _first_account(_ACCOUNTS)
    for path in (program, place):
        folder = blocking_folder(path, entry.pw_uid, entry.pw_gid)
        if folder is not None:
            raise NoAccount(
                f"PostgreSQL refuses to run as root, user namespaces are refused here, and the "
                f"account '{entry.pw_name}' cannot pass {folder} to reach {path}. Start ArtStore "
                f"as an ordinary user, or allow user namespaces (in a container: "
                f"--security-opt seccomp=unconfined), or choose a state directory that every "
                f"account can reach: artstore up --home /var/lib/artstore"
            )
    return unprivileged(entry)


def _works(account: Account) -> bool:
    probe = launched(
        [sys.executable, "-I", "-S", "-c", ""], parent_death=signal.SIGKILL, account=account
    )
    return subprocess.run(probe, capture_output=True, check=False).returncode == 0  # noqa: S603


def _has_name() -> bool:
    try:
        pwd.getpwuid(os.geteuid())
    except KeyError:
        return False
    return True


def _ordinary_account() -> pwd.struct_passwd:
    """Any account but root: inside a namespace its id is only a label, but `initdb` asks
    for its name."""
    for entry in pwd.getpwall():
        if entry.pw_uid != 0:
            return entry
    raise NoAccount("there is no account but root on this machine; add one: useradd artstore")


def _first_account(names: Sequence[str]) -> pwd.struct_passwd:
    for name in names:
        try:
            return pwd.getpwnam(name)
        except KeyError:
            continue
    return _ordinary_account()
