"""Which tokens are good no longer, mirrored in the memory of every module.

PostgreSQL holds the record; the admin module spreads it. Checking a token asks nobody. In return
the mirror must be fresh: when no source confirmed it for too long, nothing is let in any more,
since nobody can tell whether a token was revoked meanwhile.
"""

import asyncio
from collections.abc import Iterable
from datetime import UTC, datetime
from enum import StrEnum
from typing import Final

from pydantic import BaseModel, ConfigDict

from artstore.core.clock import Clock
from artstore.core.errors import InvalidToken, Unavailable
from artstore.core.model.account import Caller

AGE_MAX_S: Final = 60.0


class RevocationKind(StrEnum):
    TOKEN = "token"  # noqa: S105  names of kinds, not secrets
    SESSION = "session"
    ACCOUNT = "account"
    """All tokens of a person or account from before an epoch."""
    KEY = "key"
    """All tokens that a stolen signing key signed."""
    EVERYTHING = "everything"
    """All tokens issued before a moment."""


class Revocation(BaseModel):
    model_config = ConfigDict(frozen=True, from_attributes=True)

    seq: int
    """In the order in which they came into force."""
    kind: RevocationKind
    value: str = ""
    """Id of the token, session or key; subject of the account."""
    epoch: int | None = None
    issued_before: datetime | None = None
    ends_at: datetime
    """Then the last token it concerns has ended by itself."""


class RevocationNews(BaseModel):
    """What the admin module answers: revocations behind a position, and how fresh that is."""

    revocations: list[Revocation]
    age_s: float
    """Since the answering side last heard from its own source."""


class RevocationMirror:
    """Call `apply` with what a source tells, then `confirm` when it told everything."""

    def __init__(self, clock: Clock, age_max_s: float = AGE_MAX_S) -> None:
        self._clock = clock
        self._age_max_s = age_max_s
        self._confirmed_at_s = float("-inf")
        self._known: dict[int, Revocation] = {}
        self._ids: dict[RevocationKind, set[str]] = {kind: set() for kind in RevocationKind}
        self._epochs: dict[str, int] = {}
        self._issued_before = datetime.min.replace(tzinfo=UTC)
        self._changed = asyncio.Event()
        self.head_seq = 0

    @property
    def age_s(self) -> float:
        """Since a source last confirmed that there is nothing else; infinite at the start."""
        return self._clock.monotonic_s() - self._confirmed_at_s

    def check(self, caller: Caller) -> None:
        """
        Raises:
            InvalidToken: It was revoked.
            Unavailable: Nobody can tell: the mirror is too old.
        """
        self.check_age()
        if (
            caller.token_id in self._ids[RevocationKind.TOKEN]
            or caller.session_id in self._ids[RevocationKind.SESSION]
            or caller.key_id in self._ids[RevocationKind.KEY]
            or caller.epoch < self.epoch_of(caller.subject)
            or caller.issued_at < self._issued_before
        ):
            raise InvalidToken

    def check_age(self) -> None:
        if self.age_s > self._age_max_s:
            raise Unavailable("it is not known which tokens were revoked")

    def epoch_of(self, subject: str) -> int:
        """Tokens of earlier epochs are revoked."""
        return self._epochs.get(subject, 0)

    def revokes_key(self, key_id: str) -> bool:
        return key_id in self._ids[RevocationKind.KEY]

    def apply(self, revocations: Iterable[Revocation]) -> None:
        """May be repeated, and in any order."""
        fresh = [each for each in revocations if each.seq not in self._known]
        if not fresh:
            return
        for revocation in fresh:
            self._known[revocation.seq] = revocation
            self._enforce(revocation)
            self.head_seq = max(self.head_seq, revocation.seq)
        self._forget_ended()
        self._changed.set()
        self._changed = asyncio.Event()

    def confirm(self, age_s: float = 0) -> None:
        """A source told everything that was revoked until `age_s` ago."""
        self._confirmed_at_s = max(self._confirmed_at_s, self._clock.monotonic_s() - age_s)

    def beyond(self, seq: int) -> list[Revocation]:
        return sorted((each for each in self._known.values() if each.seq > seq), key=_by_seq)

    async def wait_beyond(self, seq: int, timeout_s: float) -> list[Revocation]:
        """Those behind `seq`, as soon as there are any; none after `timeout_s`."""
        found = self.beyond(seq)
        if found:
            return found
        try:
            await asyncio.wait_for(self._changed.wait(), timeout_s)
        except TimeoutError:
            return []
        return self.beyond(seq)

    def _enforce(self, revocation: Revocation) -> None:
        match revocation.kind:
            case RevocationKind.ACCOUNT:
                epoch = max(revocation.epoch or 0, self._epochs.get(revocation.value, 0))
                self._epochs[revocation.value] = epoch
            case RevocationKind.EVERYTHING:
                if revocation.issued_before is not None:
                    self._issued_before = max(self._issued_before, revocation.issued_before)
            case kind:
                self._ids[kind].add(revocation.value)

    def _forget_ended(self) -> None:
        """Epochs and the moment stay: they take no room and concern no good token."""
        now = self._clock.now()
        for ended in [each for each in self._known.values() if each.ends_at <= now]:
            if ended.seq != self.head_seq:
                del self._known[ended.seq]
                self._ids[ended.kind].discard(ended.value)


def _by_seq(revocation: Revocation) -> int:
    return revocation.seq
