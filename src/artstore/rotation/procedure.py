"""How any credential is replaced: new beside old, verify, switch, drain, revoke.

The new secret is written down before anybody is told of it, and each step may be done twice. So a
crash, wherever it comes, is mended by doing everything again with the secret written down.
"""

import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from pathlib import Path
from typing import Final, Protocol
from urllib.parse import quote

from artstore.core.clock import Clock
from artstore.core.private_files import private_folder, write_private

DRAIN_POLL_S: Final = 0.5
QUIET_LOOKS: Final = 3
"""So often in a row nobody may be seen: who began to connect before the switch comes late."""


class RotationFailed(Exception):
    """A step did not work. What was good before is still good; doing it again goes on."""


class Step(StrEnum):
    """In their order. A record names the last one that was begun."""

    MADE = "made"
    CREATE = "create"
    VERIFY = "verify"
    SWITCH = "switch"
    DRAIN = "drain"
    REVOKE = "revoke"
    REPORT = "report"


class Credential(Protocol):
    """One credential of one kind. Blocking; every step may be repeated, with the same values, also
    after later ones were done. A step that cannot be done raises `RotationFailed`."""

    @property
    def name(self) -> str: ...

    @property
    def kind(self) -> str: ...

    def current(self) -> str:
        """What is in use: as it stands in its file."""
        ...

    def changed_at(self) -> datetime:
        """When that began."""
        ...

    def make(self, old: str) -> str:
        """A new one, known to nobody yet."""
        ...

    def create(self, new: str) -> None:
        """Make it good beside the old one."""
        ...

    def verify(self, new: str) -> None:
        """Use it, as those will who are to be given it."""
        ...

    def switch(self, new: str) -> None:
        """Put it where everybody looks."""
        ...

    def users_of(self, old: str) -> list[str]:
        """Who still uses the old one; empty: nobody."""
        ...

    def revoke(self, old: str, new: str) -> None:
        """The old one is good no more, and whoever came in by it is out."""
        ...


@dataclass(frozen=True)
class Record:
    """A rotation under way. Holds both secrets, so its file is one."""

    name: str
    step: Step
    started_at: str
    old: str
    new: str


@dataclass(frozen=True)
class Outcome:
    name: str
    kind: str
    took_s: float
    resumed_after: Step | None


Report = Callable[[Credential, datetime], None]
"""Tells the audit log. Repeated with the same moment, it tells nothing new."""


class Rotation:
    """The rotations of one installation, their records in one private folder."""

    def __init__(
        self,
        folder: Path,
        clock: Clock,
        report: Report,
        *,
        drain_max: timedelta,
        on_step: Callable[[str, Step], None] = lambda _name, _step: None,
    ) -> None:
        """`drain_max`: how long users of the old one are waited for."""
        self._folder = folder
        self._clock = clock
        self._report = report
        self._drain_max_s = drain_max.total_seconds()
        self._on_step = on_step

    def pending(self, name: str) -> Record | None:
        """A rotation that was begun and not finished."""
        try:
            content = json.loads(self._file(name).read_text("utf-8"))
        except FileNotFoundError:
            return None
        return Record(**{**content, "step": Step(content["step"])})

    def rotate(self, credential: Credential) -> Outcome:
        """Begin, or go on where a crash or a failure stopped the last one.

        Raises:
            RotationFailed: A step did not work, or the old credential is still in use. Nobody lost
                anything: try again.
        """
        begun_s = self._clock.monotonic_s()
        pending = self.pending(credential.name)
        record = pending or self._begin(credential)
        with self._at(record, Step.CREATE):
            credential.create(record.new)
        with self._at(record, Step.VERIFY):
            credential.verify(record.new)
        with self._at(record, Step.SWITCH):
            credential.switch(record.new)
        with self._at(record, Step.DRAIN):
            self._drain(credential, record.old)
        with self._at(record, Step.REVOKE):
            credential.revoke(record.old, record.new)
        with self._at(record, Step.REPORT):
            self._report(credential, datetime.fromisoformat(record.started_at))
        self._file(credential.name).unlink()
        took_s = self._clock.monotonic_s() - begun_s
        return Outcome(credential.name, credential.kind, took_s, pending.step if pending else None)

    def _begin(self, credential: Credential) -> Record:
        old = credential.current()
        started_at = self._clock.now().isoformat()
        record = Record(credential.name, Step.MADE, started_at, old, credential.make(old))
        self._write(record)
        return record

    @contextmanager
    def _at(self, record: Record, step: Step) -> Iterator[None]:
        self._write(Record(record.name, step, record.started_at, record.old, record.new))
        self._on_step(record.name, step)
        yield

    def _drain(self, credential: Credential, old: str) -> None:
        deadline_s = self._clock.monotonic_s() + self._drain_max_s
        looks = 0
        while looks < QUIET_LOOKS:
            users = credential.users_of(old)
            looks = 0 if users else looks + 1
            if users and self._clock.monotonic_s() >= deadline_s:
                raise RotationFailed(
                    f"{credential.name}: the old one is still used by {', '.join(users)}. The new "
                    "one is in place and both are good. Restart who does not follow, then again: "
                    "artstore rotate"
                )
            if looks < QUIET_LOOKS:
                time.sleep(DRAIN_POLL_S)

    def _write(self, record: Record) -> None:
        private_folder(self._folder)
        write_private(self._file(record.name), json.dumps(asdict(record)))

    def _file(self, name: str) -> Path:
        # Names of fields in OpenBao hold slashes.
        return self._folder / f"{quote(name, safe='')}.json"
