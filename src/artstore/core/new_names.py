"""Gives a finished file its name without ever replacing another one."""

import errno
import os
from pathlib import Path
from typing import Final

_NO_LINKS: Final = {errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK}


def give_new_name(made: Path, target: Path) -> None:
    """`made`, on the same file system, is called `target` afterwards.

    Raises:
        FileExistsError: There is such a file; both are as they were.
    """
    try:
        os.link(made, target)
    except OSError as error:
        if error.errno not in _NO_LINKS:
            raise
        # Memory sticks (FAT, exFAT) and some shares know no second names. The empty file takes
        # the name, if it is free, and only that is replaced.
        os.close(os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
        made.replace(target)
    else:
        made.unlink()
