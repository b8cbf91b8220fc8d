"""Become a child that dies with its supervisor, then become the program.

Run as a script, on its own and with no import from this package:

    python -I -S launch.py [--namespace UID GID | --account UID GID] PARENT SIGNAL PROGRAM...

* `PARENT SIGNAL`: the kernel sends SIGNAL when process PARENT is gone, however it went.
* `--namespace`: enter a user namespace in which we are UID and GID. PostgreSQL refuses to
  run as root; inside, it is an ordinary account, while its files keep their owner outside.
* `--account`: give up root and become that account, where namespaces are refused.

It is a program of its own because a user namespace can only be entered by a process with
one thread, and because `os.unshare` exists from Python 3.12 on.
"""

import ctypes
import os
import sys
from pathlib import Path

CLONE_NEWUSER = 0x10000000
PR_SET_PDEATHSIG = 1
_LIBC = ctypes.CDLL(None, use_errno=True)


def enter_namespace(uid: int, gid: int) -> None:
    """Go on as `uid` and `gid` in a user namespace that holds nobody else.

    Raises:
        OSError: The kernel or its policy refuses user namespaces.
    """
    outside_uid, outside_gid = os.geteuid(), os.getegid()
    _check(_LIBC.unshare(CLONE_NEWUSER), "unshare")
    own = Path("/proc/self")
    # Required before the group map, or a process could drop a group that denies it something.
    (own / "setgroups").write_text("deny")
    (own / "uid_map").write_text(f"{uid} {outside_uid} 1")
    (own / "gid_map").write_text(f"{gid} {outside_gid} 1")


def become_account(uid: int, gid: int) -> None:
    os.setgroups([])
    os.setgid(gid)
    os.setuid(uid)


def die_with(parent: int, signal_number: int) -> None:
    # After every change of identity: those clear the setting.
    _check(_LIBC.prctl(PR_SET_PDEATHSIG, signal_number), "prctl")
    if os.getppid() != parent:
        raise SystemExit("the supervisor is gone")


def _check(result: int, call: str) -> None:
    if result != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{call}: {os.strerror(number)}")


def main(arguments: list[str]) -> None:
    if arguments[0] == "--namespace":
        enter_namespace(int(arguments[1]), int(arguments[2]))
        arguments = arguments[3:]
    elif arguments[0] == "--account":
        become_account(int(arguments[1]), int(arguments[2]))
        arguments = arguments[3:]
    parent, signal_number, *command = arguments
    die_with(int(parent), int(signal_number))
    os.execv(command[0], command)  # noqa: S606  no shell is the point


if __name__ == "__main__":
    try:
        main(sys.argv[1:])
    except OSError as error:
        sys.exit(f"cannot start: {error}")
