"""Fetches an export of the audit log, checks it, and gives it its name only then."""

import errno
import os
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import IO

from artstore.cli.output import print_json, print_line
from artstore.cli.progress import Tally, meter
from artstore.client.audit import AuditKeys
from artstore.client.store import ArtStore
from artstore.core.audit.defect import DefectFound
from artstore.core.audit.lines import lines_of
from artstore.core.audit.verification import VerifiedExport, verify_export
from artstore.core.errors import InternalError
from artstore.core.new_names import give_new_name
from artstore.core.tlog.notes.keys import VerifierKey
from artstore.core.tlog.notes.policy import TrustPolicy


def export_to(output: Path, first: int, end: int | None, *, as_json: bool) -> None:
    """
    Raises:
        FileExistsError: Evidence is never replaced.
        InternalError: What the server sent is not a true export.
    """
    if output.exists():
        raise FileExistsError(errno.EEXIST, "there is such a file already", str(output))
    with (
        ArtStore.from_home() as store,
        # A folder, since the file in it goes away when it gets its name.
        TemporaryDirectory(dir=output.absolute().parent, prefix=".export-") as folder,
    ):
        made = Path(folder) / "export"
        with made.open("w+b") as file:
            with meter("fetching") as bars:
                tally = Tally(bars)
                size_bytes = store.audit.export(file, first=first, end=end, progress=tally)
            file.seek(0)
            verified = _checked(file, store.audit.keys())
            os.fsync(file.fileno())
        give_new_name(made, output)
    _tell(output, size_bytes, verified, as_json=as_json)


def _checked(file: IO[bytes], keys: AuditKeys) -> VerifiedExport:
    """By the server's own keys: it shows what was damaged on the way, not who lies."""
    policy = TrustPolicy(keys.origin, tuple(map(VerifierKey.parse, keys.log_keys)))
    try:
        return verify_export(lines_of(file), policy, allow_part=True)
    except DefectFound as defect:
        raise InternalError(f"what arrived is not a true export: {defect.sentence}") from None


def _tell(output: Path, size_bytes: int, verified: VerifiedExport, *, as_json: bool) -> None:
    state = verified.state
    if as_json:
        print_json(
            {
                "path": str(output),
                "bytes": size_bytes,
                "first": verified.first,
                "end": verified.end,
                "size": state.checkpoint.size,
                "origin": state.checkpoint.origin,
            }
        )
    else:
        last = verified.end - 1
        records = f"records {verified.first} to {last}" if last >= verified.first else "no records"
        print_line(f"{output}: {records} of {state.checkpoint.size}")
