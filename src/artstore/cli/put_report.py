"""Tells of each file as soon as it is known, and of all of them at the end."""

import time

from artstore.cli.output import error_fields, error_text, print_json, print_line, say, size_text
from artstore.cli.progress import Meter
from artstore.cli.trees import Skipped
from artstore.client.results import StoredFile
from artstore.core.errors import ArtStoreError


class PutReport:
    def __init__(self, meter: Meter, *, as_json: bool) -> None:
        self.meter = meter
        self._as_json = as_json
        self._stored_files = 0
        self._stored_bytes = 0
        self._failures = 0
        self._notes = 0
        self._started_s = time.monotonic()

    @property
    def complete(self) -> bool:
        return self._failures == 0

    def stored(self, path: str, stored: StoredFile, *, bytes_reported: bool) -> None:
        self._stored_files += 1
        self._stored_bytes += stored.size
        self.meter.file_done(0 if bytes_reported else stored.size)
        if self._as_json:
            print_json({"path": path, **stored.__dict__})
        else:
            print_line(f"{stored.file_id}  {path}")

    def failed(self, path: str, failure: ArtStoreError | OSError) -> None:
        self._failures += 1
        self.meter.file_done(0)
        if self._as_json:
            print_json({"path": path, "error": error_fields(failure)})
        else:
            say(f"failed: {path}: {error_text(failure)}")

    def skipped(self, skipped: Skipped) -> None:
        if not skipped.is_failure:
            self._notes += 1
            say(f"skipped: {skipped.path}: {skipped.reason}")
            return
        self._failures += 1
        self.meter.file_done(0)
        if self._as_json:
            error = {"code": "unreadable", "detail": skipped.reason}
            print_json({"path": skipped.path, "error": error})
        else:
            say(f"failed: {skipped.path}: {skipped.reason}")

    def summarise(self) -> None:
        elapsed_s = max(time.monotonic() - self._started_s, 0.001)
        rate = self._stored_files / elapsed_s
        amount = f"{self._stored_files} files, {size_text(self._stored_bytes)}"
        parts = [f"stored {amount} in {elapsed_s:.1f} s ({rate:.0f} files/s)"]
        if self._failures:
            parts.append(f"{self._failures} failed")
        if self._notes:
            parts.append(f"{self._notes} skipped")
        self.meter.close()
        say("; ".join(parts))
