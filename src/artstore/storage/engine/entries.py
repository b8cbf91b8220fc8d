"""What waits for the log: changes of files, notes, and checkpoints; and what they are answered."""

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import NamedTuple

from artstore.core.errors import ArtStoreError, Unavailable
from artstore.core.model.file import FileRecord
from artstore.storage.engine.backends.base import Placeable
from artstore.storage.engine.log import Body
from artstore.storage.engine.record import (
    FLAG_INLINE,
    ChangePayload,
    RecordType,
    encode_change,
    encode_checkpoint,
)


class OutcomeUnknown(Unavailable):
    """Logged, but not in place: a later try, or the next start, will see to it."""

    def __init__(self) -> None:
        super().__init__("whether the change was stored is not known yet; try again")


class Stored(NamedTuple):
    """`created` is false when the same content was there already."""

    record: FileRecord
    record_json: bytes
    created: bool


Outcome = Stored | ArtStoreError
Done = Callable[[Outcome], None]
"""Called once, in the writer thread; must not block or raise."""
Noted = int | ArtStoreError
"""A note's sequence."""


@dataclass(slots=True)
class Entry:
    """A change that waits for its group; for the last two see `backends.base.Placeable`."""

    type: RecordType
    record: FileRecord
    record_json: bytes
    done: Done
    at_us: int
    trace: bytes
    content: bytes | None = None
    present_name: str | None = None
    origin_json: bytes = b""
    size: int = field(init=False)
    is_answered: bool = field(init=False, default=False)

    def __post_init__(self) -> None:
        self.size = len(self.record_json) + len(self.origin_json) + len(self.content or b"")

    @property
    def is_new_small_file(self) -> bool:
        """The log holds all of it, and nobody waits for it in a thread."""
        return self.content is not None

    @property
    def unflushed_bytes(self) -> int:
        """What a checkpoint has to write for it."""
        staged = self.type is RecordType.CREATED and self.content is None
        return self.record.size if staged else self.size

    def body(self) -> Body:
        tail = self.content if self.content is not None else (self.present_name or "").encode()
        flags = FLAG_INLINE if self.content is not None else 0
        payload = ChangePayload(self.at_us, self.trace, self.record_json, tail, self.origin_json)
        return Body(self.type, flags, encode_change(payload))

    def placeable(self, sequence: int) -> Placeable:
        return Placeable(
            self.type, sequence, self.record, self.record_json, self.content, self.present_name
        )

    def finish(self, sequence: int) -> None:
        self.answer(Stored(self.record, self.record_json, created=True))

    def answer(self, outcome: Outcome) -> None:
        """Nothing if it is answered already."""
        if not self.is_answered:
            self.is_answered = True
            self.done(outcome)


@dataclass(slots=True)
class Note:
    """A finding or a change of mode that waits for its group. Nothing is put in place."""

    type: RecordType
    detail_json: bytes
    done: Callable[[Noted], None]
    """As `Done`."""
    at_us: int
    trace: bytes

    @property
    def size(self) -> int:
        return len(self.detail_json)

    @property
    def unflushed_bytes(self) -> int:
        return 0

    def body(self) -> Body:
        payload = ChangePayload(self.at_us, self.trace, self.detail_json, b"")
        return Body(self.type, 0, encode_change(payload))

    def placeable(self, sequence: int) -> None:
        return None

    def finish(self, sequence: int) -> None:
        self.done(sequence)

    def answer(self, error: ArtStoreError) -> None:
        self.done(error)


class Marker:
    """A checkpoint on its way into the log: everything up to `covers` is in its place, durable."""

    def __init__(self, covers: int) -> None:
        self.covers = covers
        self.answered = threading.Event()
        self.durable = False

    def body(self) -> Body:
        return Body(RecordType.CHECKPOINT, 0, (encode_checkpoint(self.covers),))

    def answer(self, *, durable: bool) -> None:
        self.durable = durable
        self.answered.set()
