"""All credentials of an installation, and which of them are due."""

import fcntl
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final

from artstore.client.store import ArtStore
from artstore.core.clock import Clock
from artstore.core.errors import ArtStoreError
from artstore.core.private_files import private_folder
from artstore.rotation.procedure import Credential, Rotation, RotationFailed, Step

REPORT: Final = "/api/v1/credentials/report"


@dataclass(frozen=True)
class Standing:
    """How it is with one credential."""

    name: str
    kind: str
    changed_at: datetime
    due_at: datetime
    stands_at: Step | None
    """Of a rotation that was begun and not finished."""

    def is_due(self, now: datetime) -> bool:
        return self.stands_at is not None or self.due_at <= now


@dataclass(frozen=True)
class Installation:
    credentials: Sequence[Credential]
    state: Path
    """Folder of the rotations under way; private."""
    connect: Callable[[], ArtStore]
    """As an account that may change accounts."""
    drain_max: timedelta

    def chosen(self, wanted: Iterable[str]) -> list[Credential]:
        """By kind or name; all without any.

        Raises:
            RotationFailed: Nothing goes by one of these.
        """
        names = list(wanted)
        known = {each.name for each in self.credentials} | {each.kind for each in self.credentials}
        for name in names:
            if name not in known:
                raise RotationFailed(f"there is no {name!r} here, but: {', '.join(sorted(known))}")
        return [
            each for each in self.credentials if not names or {each.name, each.kind} & set(names)
        ]

    def rotation(
        self, clock: Clock, on_step: Callable[[str, Step], None] = lambda _name, _step: None
    ) -> Rotation:
        return Rotation(self.state, clock, self.report, drain_max=self.drain_max, on_step=on_step)

    def standing(self, credential: Credential, every: timedelta, rotation: Rotation) -> Standing:
        pending = rotation.pending(credential.name)
        changed_at = credential.changed_at()
        return Standing(
            credential.name,
            credential.kind,
            changed_at,
            changed_at + every,
            pending.step if pending else None,
        )

    def report(self, credential: Credential, began_at: datetime) -> None:
        """Into the audit log, and into the metrics of the admin module."""
        body = _age(credential) | {"rotation_began_at": began_at.isoformat()}
        try:
            self._tell([body])
        except ArtStoreError as error:
            raise RotationFailed(
                f"{credential.name}: it is replaced, but the audit log cannot be told "
                f"({error.detail}). Again: artstore rotate"
            ) from None

    def tell_ages(self, credentials: Sequence[Credential]) -> None:
        """Into the metrics of the admin module."""
        try:
            self._tell([_age(each) for each in credentials])
        except ArtStoreError as error:
            raise RotationFailed(f"ages cannot be told to the metrics ({error.detail})") from None

    @contextmanager
    def only_one(self) -> Iterator[None]:
        """One rotation of an installation at a time; the kernel lets go however we end.

        Raises:
            RotationFailed: Another one is going on.
        """
        private_folder(self.state)
        with (self.state / "lock").open("w") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise RotationFailed("another rotation is going on here; wait for it") from None
            yield

    def _tell(self, bodies: Sequence[dict[str, str]]) -> None:
        with self.connect() as store:
            for body in bodies:
                store.call("POST", REPORT, body=body)


def _age(credential: Credential) -> dict[str, str]:
    return {
        "name": credential.name,
        "kind": credential.kind,
        "changed_at": credential.changed_at().isoformat(),
    }
