"""Tells of each file as soon as it is known, and of all of them at the end."""

import time

from artstore.cli.output import (
    count_text,
    error_fields,
    error_text,
    print_json,
    print_line,
    say,
    size_text,
)
from artstore.cli.progress import Meter
from artstore.cli.trees import Entry, Skipped
from artstore.client.results import StoredFile
from artstore.core.errors import ArtStoreError


class PutReport:
    def __init__(self, meter: Meter, *, as_json: bool, dry_run: bool = False) -> None:
        self.meter = meter
        self._as_json = as_json
        self._dry_run = dry_run
        self._stored_files = 0
        self._stored_bytes = 0
        self._already_files = 0
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

    def would_store(self, entry: Entry) -> None:
        self._stored_files += 1
        self._stored_bytes += entry.size_bytes
        self.meter.file_done(entry.size_bytes)
        if self._as_json:
            print_json({"path": entry.path, "size": entry.size_bytes, "would_store": True})
        else:
            print_line(f"{size_text(entry.size_bytes):>10}  {entry.path}")

    def already(self, entry: Entry, file_id: str) -> None:
        self._already_files += 1
        self.meter.file_done(entry.size_bytes)
        if self._as_json:
            told = {"path": entry.path, "file_id": file_id, "size": entry.size_bytes}
            print_json({**told, "already_stored": True})
        elif not self._dry_run:
            print_line(f"{file_id}  {entry.path}")

    def sparse(self, entry: Entry) -> None:
        say(f"sparse: {entry.path}: stored with its full size, {size_text(entry.size_bytes)}")

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
            error = {"code": skipped.code, "detail": skipped.reason}
            print_json({"path": skipped.path, "error": error})
        else:
            say(f"failed: {skipped.path}: {skipped.reason}")

    def summarise(self) -> None:
        elapsed_s = max(time.monotonic() - self._started_s, 0.001)
        rates = (
            f"{self._stored_files / elapsed_s:.1f} files/s, "
            f"{size_text(self._stored_bytes / elapsed_s)}/s"
        )
        amount = f"{count_text(self._stored_files, 'file')}, {size_text(self._stored_bytes)}"
        done = f"stored {amount} in {elapsed_s:.1f} s ({rates})"
        if not self._stored_files:
            done = "stored 0 files"
        parts = [f"would store {amount}; nothing was sent" if self._dry_run else done]
        if self._already_files:
            parts.append(f"{self._already_files} stored already")
        if self._failures:
            parts.append(f"{self._failures} failed")
        if self._notes:
            parts.append(f"{self._notes} skipped")
        self.meter.close()
        say("; ".join(parts))
