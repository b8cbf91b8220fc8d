"""A cached view of what collections ask of files, and of quotas.

Uploads never wait for it, and it outlives an outage of the admin module: the last rules that were
read stay in force. Before the first reading nothing is admitted: a rule that nobody knows cannot
be kept.
"""

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Final, Protocol, Self

from artstore.core.clock import Clock
from artstore.core.errors import ArtStoreError, QuotaExceeded, Unavailable
from artstore.core.logging import get_logger
from artstore.core.model.admission import Admission, AdmissionRules, Quota, Usage
from artstore.ingester.services.refreshing import keep_fresh

UNKNOWN_PAUSE_S: Final = 0.5
COUNTED_LATE_BY: Final = timedelta(seconds=10)
"""The count reads the catalogue, which is behind the elements, by a clock that is not ours."""
DEFAULT_RULES: Final = Admission()


class RulesSource(Protocol):
    """Raises an `ArtStoreError` when nobody answers."""

    async def admission_rules(self) -> AdmissionRules: ...


@dataclass
class _Limited:
    """Something with a quota, and what this ingester knows of how full it is."""

    of: str
    quota: Quota
    usage: Usage | None
    admitted: dict[int, tuple[int, int]] = field(default_factory=dict)
    """Since the count: bytes and files by second since 1970."""
    added_bytes: int = 0
    """Of what was admitted since the count, and of what is under way."""
    added_files: int = 0

    def check(self, size_bytes: int, files: int = 1) -> None:
        used_bytes, used_files = self.added_bytes, self.added_files
        if self.usage is not None:
            used_bytes += self.usage.used_bytes
            used_files += self.usage.used_files
        limit_bytes, limit_files = self.quota.quota_bytes, self.quota.quota_files
        if limit_files is not None and files and used_files + files > limit_files:
            raise QuotaExceeded(
                f"the {self.of} may hold {limit_files} files",
                quota_of=self.of,
                limit_files=limit_files,
            )
        if limit_bytes is not None and used_bytes + size_bytes > limit_bytes:
            raise QuotaExceeded(
                f"the {self.of} may hold {limit_bytes} bytes",
                quota_of=self.of,
                limit_bytes=limit_bytes,
            )

    def add(self, size_bytes: int, files: int = 1) -> None:
        self.added_bytes += size_bytes
        self.added_files += files

    def note(self, second: int, size_bytes: int) -> None:
        known_bytes, known_files = self.admitted.get(second, (0, 0))
        self.admitted[second] = known_bytes + size_bytes, known_files + 1
        self.add(size_bytes)

    def refresh(self, quota: Quota, usage: Usage | None) -> None:
        self.quota, self.usage = quota, usage
        if usage is not None:
            seen_s = int((usage.counted_at - COUNTED_LATE_BY).timestamp())
            for second in [second for second in self.admitted if second < seen_s]:
                size_bytes, files = self.admitted.pop(second)
                self.add(-size_bytes, -files)


class CachedRules:
    def __init__(self, source: RulesSource, clock: Clock, refresh_s: float) -> None:
        self._source = source
        self._clock = clock
        self._refresh_s = refresh_s
        self._rules: AdmissionRules | None = None
        self._collections: dict[str, Admission] = {}
        self._limited: dict[tuple[str, str], _Limited] = {}
        self._log = get_logger()

    async def follow(self) -> None:
        """Keep the view fresh until cancelled."""
        await keep_fresh(
            "rules of admission",
            self.refresh,
            lambda: UNKNOWN_PAUSE_S if self._rules is None else self._refresh_s,
        )

    async def refresh(self) -> None:
        try:
            rules = await self._source.admission_rules()
        except ArtStoreError as error:
            self._log.warning("rules of admission not read", code=error.code)
            return
        if rules != self._rules:
            self._rules = rules
            self._collections = {each.collection: each.admission for each in rules.collections}
            self._refresh_limits(rules)

    async def check(self) -> None:
        """For readiness. Raises `Unavailable`: nothing can be admitted yet."""
        self._known()

    def of(self, collection: str) -> Admission:
        """Raises `Unavailable`: the rules are not known yet."""
        self._known()
        return self._collections.get(collection, DEFAULT_RULES)

    def room_for(self, collection: str, subject: str, size_bytes: int) -> "Room":
        """Room in both quotas, held until the end of the block; what came in is told to `Room`.

        Raises:
            QuotaExceeded: There is none.
        """
        limited = self._limited_by(collection, subject)
        for each in limited:
            each.check(size_bytes)
        return Room(self, collection, subject, size_bytes, limited)

    def note(self, collection: str, subject: str, size_bytes: int) -> None:
        """A file came in."""
        for each in self._limited_by(collection, subject):
            each.note(int(self._clock.now().timestamp()), size_bytes)

    def _limited_by(self, collection: str, subject: str) -> list[_Limited]:
        if not self._limited:
            return []
        keys = ("collection", collection), ("account", subject)
        return [self._limited[key] for key in keys if key in self._limited]

    def _known(self) -> None:
        if self._rules is None:
            raise Unavailable("the rules of admission are not known yet")

    def _refresh_limits(self, rules: AdmissionRules) -> None:
        found: dict[tuple[str, str], tuple[Quota, Usage | None]] = {
            ("collection", each.collection): (each.admission, each.usage)
            for each in rules.collections
            if each.admission.quota_bytes is not None or each.admission.quota_files is not None
        }
        found |= {("account", each.subject): (each, each.usage) for each in rules.accounts}
        for key in self._limited.keys() - found.keys():
            del self._limited[key]
        for key, (quota, usage) in found.items():
            limited = self._limited.setdefault(key, _Limited(key[0], quota, usage))
            limited.refresh(quota, usage)


@dataclass(slots=True)
class Room:
    """A context: see `CachedRules.room_for`."""

    _rules: CachedRules
    _collection: str
    _subject: str
    _size_bytes: int
    _limited: Sequence[_Limited]
    taken_bytes: int | None = None
    """Of the file that took it; `None`: none did."""

    @property
    def is_limited(self) -> bool:
        return bool(self._limited)

    async def growing_with(self, chunks: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
        """The same chunks, of a content whose size nobody said.

        Raises:
            QuotaExceeded: They are more than there is room for.
        """
        passed_bytes = 0
        async for chunk in chunks:
            passed_bytes += len(chunk)
            self._grow_to(passed_bytes)
            yield chunk

    def _grow_to(self, size_bytes: int) -> None:
        more_bytes = size_bytes - self._size_bytes
        if more_bytes <= 0:
            return
        for each in self._limited:
            each.check(more_bytes, files=0)
        for each in self._limited:
            each.add(more_bytes, files=0)
        self._size_bytes = size_bytes

    def __enter__(self) -> Self:
        for each in self._limited:
            each.add(self._size_bytes)
        return self

    def __exit__(self, *_: object) -> None:
        for each in self._limited:
            each.add(-self._size_bytes, -1)
        if self.taken_bytes is not None:
            self._rules.note(self._collection, self._subject, self.taken_bytes)
